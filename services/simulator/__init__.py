"""The simulator: brings datasets into the suite and fouls production on purpose."""

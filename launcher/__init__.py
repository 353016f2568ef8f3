"""Runs the suite without containers or with them, shows it, checks it and tests it."""

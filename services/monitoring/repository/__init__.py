"""SQL to values and back; never commits."""

"""The dataset database: its tables, its migrations and the one way to read and write samples."""

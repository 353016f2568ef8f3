"""Postgres: from rows to values and back."""

"""Postgres and MLflow: from rows and artifacts to values and back."""

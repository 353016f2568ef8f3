"""Tracking: hyperparameter searches, their experiments and runs in MLflow, and what is chosen."""

"""The program that runs searches, `python -m tracking.jobs`, and the processes that search for it.

The program itself is small: it imports neither scikit-learn nor MLflow.
"""

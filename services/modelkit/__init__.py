"""The models: which there are, the pipeline around them, what they accept, how they are stored.

Imports scikit-learn and skops; never MLflow, Flask or SQL. Used by `ml_model` and `tracking`, so
that what is searched, trained, registered and served is one and the same pipeline.
"""

"""What tracking reads and writes: the dataset database, MLflow's tables, MLflow's API."""

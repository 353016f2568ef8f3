"""The use cases, the retraining rule and the values they work on."""

"""The ML service: which model is set, its training, scoring of stored sets."""

"""The monitoring service: what the deployed model's testing set says about its production set."""

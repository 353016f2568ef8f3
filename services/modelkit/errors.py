"""What can be wrong with a model name or with hyperparameters."""

from servicekit.errors import Impossible, Invalid


class ModelNotFound(Invalid):
    """Model not Found."""


class HyperparametersRefused(Impossible):
    """Hyperparameters refused."""

    advice = "The estimator does not take these values; change them."


class ModelOfAnotherTask(Impossible):
    """Model of another task."""

"""What can stand in the way of training and scoring."""

from servicekit.errors import Conflict, Impossible, Unavailable


class ModelNotSet(Conflict):
    """No model set."""

    advice = (
        'Set a model first: POST /root/ml/set_model {"model_name": "RandomForest", '
        '"hyperparameters": {}}.'
    )


class ModelNotTrained(Conflict):
    """Model not trained."""

    advice = 'Train the model first: POST /root/ml {"dataset": "training"}.'


class ModelChanged(Conflict):
    """The model was changed while it was trained."""

    advice = 'Train the model that is set now: POST /root/ml {"dataset": "training"}.'


class ModelGone(Conflict):
    """The trained model is no longer in MLflow."""

    advice = 'Train it again: POST /root/ml {"dataset": "training"}.'


class TrainingFailed(Impossible):
    """The estimator cannot be trained like this."""


class ScoringFailed(Impossible):
    """The set cannot be scored."""


class ModelStoreUnavailable(Unavailable):
    """MLflow does not answer."""

    advice = "The MLflow server is not reachable right now; try again in a moment."

"""What can stand in the way of training and scoring."""

from servicekit.errors import Conflict, Impossible, Invalid, NotFound, Unavailable


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


class ModelUriUnknown(Invalid):
    """Unknown model_uri."""

    advice = (
        "model_uri must be one of models:/<name>/<version>, models:/<name>/latest,"
        " models:/<name>@<alias>, models:/m-<id> and runs:/<run id>/<model name>."
    )


class ModelRefused(Invalid):
    """The model cannot be served."""

    advice = "Serve a scikit-learn model that predicts its own input example."


class ChampionChanged(Conflict):
    """Another version serves by now."""


class CanaryRuns(Conflict):
    """A canary runs."""

    advice = (
        "`next` answers a share of the requests. POST /accept-next-model, POST /rollback or POST"
        ' /set-canary-probability {"probability": 1.0} end that.'
    )


class NothingInNext(Invalid):
    """Nothing in next."""

    advice = (
        'Put a model there first: POST /update-model {"model_uri": "models:/<name>/<version>"}.'
    )


class DeploymentNotFound(NotFound):
    """No such deployment."""

    advice = "Take a deployment_id from GET /deployments."


class NothingToGoBackTo(Conflict):
    """Nothing to go back to."""

    advice = "The ledger holds no other state than this one; see GET /deployments."


class VersionNotServable(Conflict):
    """Version not prepared for serving."""

    advice = 'Prepare it: POST /update-model {"model_uri": "models:/<name>/<version>"}.'


class RolloutNotFound(NotFound):
    """No such roll-out."""

    advice = "GET /rollouts lists the roll-outs there are."


class RolloutRunning(Conflict):
    """A roll-out is running."""


class RolloutOver(Conflict):
    """The roll-out is over."""


class NothingToRollOut(Conflict):
    """Nothing to roll out."""


class LimitOfClasses(Impossible):
    """Limit of classes."""

    advice = (
        "min_accuracy_difference and min_labels count right classes, and a slot holds a regression:"
        " leave them out. GET /quality has the errors of both versions."
    )


class ContradictoryLabels(Invalid):
    """Contradictory labels."""


class JobCancelled(Conflict):
    """Job cancelled."""

    advice = "The job was cancelled before it ended; nothing of it was kept."


class NoNewRows(Conflict):
    """No new rows."""


class RequestIdTaken(Conflict):
    """Request id taken."""

    advice = "This X-Request-ID has stored another row already; give each row an id of its own."


class NoModelServing(Unavailable):
    """No model loaded."""

    advice = (
        'Put a model into a slot first: POST /root/ml {"dataset": "training"}, or POST'
        ' /update-model {"model_uri": "models:/<name>/<version>"} and POST /accept-next-model.'
    )


class PredictionFailed(Impossible):
    """The model cannot predict these rows."""


class BinaryTensors(Invalid):
    """Binary tensors are not taken."""

    advice = (
        "Send the tensors' values in the JSON: binary_data=False with tritonclient, and no header"
        " Inference-Header-Content-Length."
    )


class PredictionLogged(Conflict):
    """A prediction of this request id is in the log already."""


class PredictionLogUnavailable(Unavailable):
    """The prediction log cannot be written."""

    advice = (
        "PostgreSQL is not reachable right now, so nothing was predicted; try again in a moment."
    )


class ModelNotInSlot(NotFound):
    """No such model serves."""

    advice = "GET /slots says what serves; POST /update-model puts a version into a slot."


class NothingServes(Conflict):
    """No model serves."""

    advice = (
        'Name a version ("registered_model_name"), or put a model into the slot first: POST /train '
        'and POST /update-model, or POST /root/ml {"dataset": "training"}.'
    )


class VersionNotFound(NotFound):
    """No such model version."""

    advice = "GET /versions lists those that were trained or loaded here; MLflow does not know it."


class InvalidTarget(Invalid):
    """Invalid target."""

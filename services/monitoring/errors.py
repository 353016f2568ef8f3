"""What can be wrong with a monitoring question."""

from servicekit.errors import Conflict, Invalid


class NoTestsChosen(Invalid):
    """No tests chosen."""

    advice = (
        "Set at least one of these to true under 'tests', or leave 'tests' out for all five: "
        "data_drift, data_quality, data_stability, no_target_performance, "
        "multi_class_classification."
    )


class ModelNotSet(Conflict):
    """No model is set."""

    advice = (
        "Set one first: POST /root/tracking/model_management "
        '{"request_information": "setting", "run_id": "..."} on the tracking service, or '
        "POST /root/ml/set_model on the ML service."
    )


class ModelNotTrained(Conflict):
    """The model is not trained."""


class SetNotScored(Conflict):
    """The set is not scored by the deployed model."""

"""What can be wrong with a monitoring question."""

from servicekit.errors import Conflict, Detail, Invalid, NotFound


class NoTestsChosen(Invalid):
    """No tests chosen."""

    advice = (
        "Set at least one of these to true under 'tests', or leave 'tests' out for all five: "
        "data_drift, data_quality, data_stability, no_target_performance, "
        "multi_class_classification."
    )


class TooManyWindows(Invalid):
    """Too many windows."""

    def __init__(self, rows: int, fewest_rows: int) -> None:
        most = rows // fewest_rows
        advice = f"{most} at most" if most > 1 else "ask without `windows`"
        super().__init__(
            f"The production set has {rows} rows, and a window needs {fewest_rows}: {advice}.",
            details=[Detail("windows", f"is more than one per {fewest_rows} rows")],
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


class InvalidRows(Invalid):
    """Invalid rows."""


class VersionNotKnown(NotFound):
    """Model version not known."""

    advice = (
        "No model version of that name and number was trained or loaded here. The ML service lists "
        "those that were: GET /versions."
    )


class NoReference(Conflict):
    """There is nothing to compare with."""

    advice = (
        'Send rows as "reference", or train a model first: POST /train on the ML service keeps a '
        "drift sample."
    )


class ReferenceGone(Conflict):
    """The reference is gone."""

    advice = 'Send rows as "reference".'

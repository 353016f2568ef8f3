"""A fitted pipeline as bytes, in skops' format, which runs no code of the file's choosing.

skops loads a type only if it is scikit-learn's, numpy's or scipy's public own, or on the trusted
list. The list is ours: MLflow also writes a list into each model, but whoever wrote the file wrote
that one too, so it is never read.

skops itself, 13 MiB of memory, is imported with the first pipeline that is stored or read.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from sklearn.pipeline import Pipeline

from modelkit.registry import PIPELINE_TYPES, registry
from servicekit.errors import Impossible

SERIALIZATION_FORMAT = "skops"
"""What to hand MLflow as `serialization_format`."""

MODEL_FILE = "model.skops"
"""The file MLflow's scikit-learn flavor keeps the pipeline in."""

SCIKIT_LEARN_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
)
"""Parts of scikit-learn's models that the registry does not have, and that are logged elsewhere:
searches, calibration, votes, stacks, networks. Plain data of scikit-learn's own, looked at one by
one; skops does not know them because their modules are private."""


class ModelNotTrusted(Impossible):
    """Model not trusted."""

    advice = "The stored model holds types that this suite does not load."


def trusted_types() -> list[str]:
    """Return the types that a stored model may hold, for `skops_trusted_types`."""
    of_models = (name for entry in registry().values() for name in entry.trusted_types)
    return sorted({*PIPELINE_TYPES, *SCIKIT_LEARN_TYPES, *of_models})


def log_model_options() -> dict[str, Any]:
    """Return what `mlflow.sklearn.log_model` needs to store and not to guess.

    Given requirements save the 5 to 15 s that MLflow takes to infer them.
    """
    return {
        "serialization_format": SERIALIZATION_FORMAT,
        "skops_trusted_types": trusted_types(),
        "pip_requirements": pip_requirements(),
    }


def pip_requirements() -> list[str]:
    """Return what a stored model needs outside this suite, as installed here."""
    return [f"{name}=={version(name)}" for name in ("scikit-learn", "skops", "numpy", "pandas")]


def environment() -> Mapping[str, str]:
    """Return the versions that decide whether the same request gives the same fitted pipeline."""
    return {name: version(name) for name in ("scikit-learn", "numpy")}


def dumps(pipeline: Pipeline) -> bytes:
    """Return the pipeline as bytes."""
    import skops.io

    content: bytes = skops.io.dumps(pipeline)
    return content


def loads(content: bytes) -> Pipeline:
    """Return the pipeline.

    Raises
    ------
    ModelNotTrusted
        It holds types beyond our list, or is no stored model at all.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        untrusted = set(skops.io.get_untrusted_types(data=content)) - set(trusted_types())
        if untrusted:
            raise ModelNotTrusted(f"The stored model holds {', '.join(sorted(untrusted))}.")
        return skops.io.loads(content, trusted=trusted_types())
    except (UntrustedTypesFoundException, BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ModelNotTrusted("The stored model cannot be read.") from error


def load(path: Path) -> Pipeline:
    """Return the pipeline stored in a file; see `loads`."""
    return loads(path.read_bytes())

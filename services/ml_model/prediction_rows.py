"""One answered, shadowed or failed row of the prediction log, and its text for COPY."""

from collections.abc import Sequence
from typing import Any

import orjson

COLUMNS = (
    "request_id",
    "row_number",
    "slot",
    "model_version_id",
    "inputs",
    "predicted_class",
    "predicted_value",
    "probabilities",
    "latency_us",
    "error",
)
"""What a line holds, in this order."""

NULL = "\\N"
LONGEST_ERROR = 500
MOST_US = 2**31 - 1

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def answered_lines(
    request_id: str,
    slot: str,
    model_version_id: int,
    inputs: Sequence[Sequence[Any]],
    labels: Sequence[Any],
    probabilities: Sequence[Sequence[float]] | None,
    latency_us: int,
    *,
    is_class: bool,
) -> str:
    """Return the rows of one prediction as lines of COPY's text format.

    `inputs` are n rows of JSON values (NaN is written as null), `labels` n classes or, unless
    `is_class`, n numbers, `probabilities` n rows or None. `request_id` holds none of COPY's marks.
    """
    latency = min(latency_us, MOST_US)
    tail = f"\t{latency}\t{NULL}\n"
    middle = f"\t{slot}\t{model_version_id}\t"
    lines = []
    for number, row in enumerate(inputs):
        outcome = (
            f"{_text(str(labels[number]))}\t{NULL}" if is_class else f"{NULL}\t{labels[number]!r}"
        )
        shares = (
            NULL if probabilities is None else f"{{{','.join(map(repr, probabilities[number]))}}}"
        )
        lines.append(f"{request_id}\t{number}{middle}{_json(row)}\t{outcome}\t{shares}{tail}")
    return "".join(lines)


def failed_lines(
    request_id: str,
    slot: str,
    model_version_id: int,
    inputs: Sequence[Sequence[Any]],
    error: str,
    latency_us: int,
) -> str:
    """Return the rows of a prediction that failed as lines of COPY's text format."""
    latency, why = min(latency_us, MOST_US), _text(error[:LONGEST_ERROR].replace("\0", ""))
    return "".join(
        f"{request_id}\t{number}\t{slot}\t{model_version_id}\t{_json(row)}"
        f"\t{NULL}\t{NULL}\t{NULL}\t{latency}\t{why or 'failed'}\n"
        for number, row in enumerate(inputs)
    )


def _json(row: Sequence[Any]) -> str:
    text = orjson.dumps(row).decode()
    # JSON has no raw tabs or line breaks; it has backslashes where a text is quoted in it.
    return text if "\\" not in text else text.replace("\\", "\\\\")


def _text(value: str) -> str:
    return value.translate(_ESCAPES)

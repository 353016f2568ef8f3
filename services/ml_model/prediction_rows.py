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
    tail = f"\t{min(latency_us, MOST_US)}\t{NULL}\n"
    middle = f"\t{slot}\t{model_version_id}\t"
    shares: Sequence[str] = [NULL] * len(inputs)
    if probabilities is not None:
        shares = [f"{{{row}}}" for row in _lists(probabilities)]
    if is_class:
        outcomes = [f"{_text(str(label))}\t{NULL}" for label in labels]
    else:
        outcomes = [f"{NULL}\t{label!r}" for label in labels]
    parts = zip(_lists(inputs), outcomes, shares, strict=True)
    return "".join(
        [
            f"{request_id}\t{number}{middle}[{row}]\t{outcome}\t{share}{tail}"
            for number, (row, outcome, share) in enumerate(parts)
        ]
    )


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
        f"{request_id}\t{number}\t{slot}\t{model_version_id}\t[{row}]"
        f"\t{NULL}\t{NULL}\t{NULL}\t{latency}\t{why or 'failed'}\n"
        for number, row in enumerate(_lists(inputs))
    )


def _lists(rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return each row as JSON without the brackets around it; NaN becomes null."""
    whole = orjson.dumps(rows).decode()
    if '"' not in whole:
        # Numbers only: one serialisation for all rows is four times as fast as one for each.
        return whole[2:-2].split("],[")
    # JSON has no raw tabs or line breaks; it has backslashes where a text is quoted in it.
    return [orjson.dumps(row).decode()[1:-1].replace("\\", "\\\\") for row in rows]


def _text(value: str) -> str:
    return value.translate(_ESCAPES)

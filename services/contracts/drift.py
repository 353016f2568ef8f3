"""The wire types of the drift check: monitoring answers it, the ML service passes it on."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from servicekit.wire import AnswerModel, RequestModel

Rows = Annotated[
    list[Any],
    Field(
        min_length=1,
        description="Rows as lists in the order of the columns, or as records; null is missing",
        json_schema_extra={"items": {"anyOf": [{"type": "array"}, {"type": "object"}]}},
    ),
]


def _number(value: Any) -> Any:
    """Read a version number that is given as text, as the answers give it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        return int(value)
    return value


ModelVersionNumber = Annotated[
    int,
    BeforeValidator(_number),
    Field(ge=0, lt=2**31),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
                {"type": "string", "pattern": "^[0-9]{1,9}$"},
            ]
        }
    ),
]

DriftVerdict = Literal["drift", "no_drift", "too_few_rows"]


class DriftRequest(RequestModel):
    """Rows to compare, and what with.

    Without `reference` it is the drift sample of the named version, else of the version that
    serves now; for a version without one, the training set it was trained on.
    """

    data: Rows
    reference: Rows | None = None
    registered_model_name: str | None = Field(default=None, min_length=1, max_length=500)
    model_version: ModelVersionNumber | None = Field(
        default=None,
        description="Default: the one that serves now if it is of this name, else the newest",
    )


class MissingDriftAnswer(AnswerModel):
    """How a column's share of missing values changed; tested wherever one is missing."""

    reference_share: float
    share: float
    difference: float
    difference_threshold: float = Field(description="From this difference on it can count")
    test: str | None
    p_value: float | None
    adjusted_p_value: float | None
    threshold: float = Field(description="Limit of the adjusted p-value")
    drift: bool


class ColumnDriftAnswer(AnswerModel):
    """What was found about one column.

    Its values have drifted when `adjusted_p_value` is at most `threshold` and `distance` at least
    `distance_threshold`; the column has when its values or its missing values have.
    """

    name: str
    kind: Literal["number", "boolean", "text", "datetime", "unknown"] = Field(
        description="datetime: all texts are ISO dates or times; compared as numbers"
    )
    verdict: DriftVerdict
    drift: bool
    test: str | None = Field(
        description="kolmogorov_smirnov_exact, kolmogorov_smirnov_asymptotic, chi_squared, "
        "chi_squared_relabelled or fisher_exact; null where there was nothing to test"
    )
    statistic: float | None = Field(description="The test's own; Fisher's has none")
    distance: float | None = Field(description="0 (same distribution) to 1 (nothing in common)")
    distance_threshold: float
    p_value: float | None = Field(description="Probability of such a gap if nothing had changed")
    adjusted_p_value: float | None = Field(description="Corrected for the number of tests")
    threshold: float
    rows: int = Field(description="Rows that have a value here")
    reference_rows: int
    rows_needed: int | None = Field(
        description="Rows with which a large change would be found; null: with no number of rows"
    )
    new_categories: list[str] = Field(description="Categories that the reference lacks, up to 20")
    new_category_share: float = Field(description="Share of the rows that hold one")
    missing: MissingDriftAnswer
    note: str | None = Field(description="Why there was nothing to test")


class DriftAnswer(AnswerModel):
    """The outcome of a drift check."""

    message: str
    drift: bool
    verdict: DriftVerdict
    share_drifted: float = Field(description="Share of the columns that have drifted, 0 to 1")
    share_threshold: float = Field(
        description="Share that must have drifted; 0 means that any one column is enough"
    )
    columns_drifted: int
    columns_checked: int
    columns: list[ColumnDriftAnswer]
    tests: int = Field(description="How many tests were made and corrected for")
    correction: str
    false_alarm_rate: float
    rows: int
    reference_rows: int
    rows_needed: int | None = Field(
        description="Rows with which a large change would be found given this reference; null: the "
        "reference is too small for any number"
    )
    rows_needed_on_both_sides: int
    reference: str = Field(description="What was compared with, in words")
    registered_model_name: str | None
    model_version: str | None
    drift_check_id: int
    created_at: str
    run_id: str | None = Field(description="The MLflow run; made where drift was found")
    run_name: str | None
    notes: list[str] = Field(description="E.g. why there is no run though drift was found")


class DriftCheckQuery(RequestModel):
    """Which drift checks to list."""

    limit: int = Field(default=50, ge=1, le=1000)
    cursor: int | None = Field(
        default=None, ge=1, lt=2**63, description="`next_cursor` of the answer before"
    )


class DriftCheckSummary(AnswerModel):
    """One check of the time line."""

    id: int
    created_at: str
    verdict: DriftVerdict
    share_drifted: float | None
    columns_drifted: list[str]
    rows: int
    reference: str
    registered_model_name: str | None
    model_version: str | None
    run_id: str | None
    request_id: str


class DriftChecksAnswer(AnswerModel):
    """The time line, newest first."""

    drift_checks: list[DriftCheckSummary]
    count: int = Field(description="Checks in this answer")
    next_cursor: int | None = Field(description="Where to go on; null at the end")

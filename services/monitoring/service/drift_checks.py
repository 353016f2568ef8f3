"""Check rows for drift, keep the outcome, and keep what drifted as a run in MLflow."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from contracts.drift import DriftRequest
from monitoring.errors import InvalidRows, NoReference, VersionNotKnown
from monitoring.repository.drift_log import DriftLog, StoredCheck
from monitoring.repository.drift_references import DriftReferences, KnownVersion
from monitoring.repository.drift_runs import DriftRun, DriftRuns
from monitoring.service.drift import DriftResult, DriftRule, check_drift
from monitoring.service.drift_rows import Table, pair_columns, read_rows
from servicekit.database import Database
from servicekit.errors import DomainError
from servicekit.telemetry import request_id

log = logging.getLogger(__name__)

CORRECTION = "Benjamini-Hochberg"


@dataclass(frozen=True)
class Reference:
    """What rows are compared with, in words, and the version it belongs to."""

    table: Table
    words: str
    version: KnownVersion | None


class DriftCheckService:
    """Compares rows with the reference of a model version, or with other rows."""

    def __init__(
        self,
        database: Database,
        references: DriftReferences,
        checks: DriftLog,
        runs: DriftRuns,
        rule: DriftRule,
    ) -> None:
        self._database = database
        self._references = references
        self._checks = checks
        self._runs = runs
        self._rule = rule

    def check(self, request: DriftRequest) -> StoredCheck:
        """Check, store, and make a run where drift was found.

        The check is stored first: with MLflow away it stands without a run and says so. No
        database connection is held while it is computed.

        Raises
        ------
        InvalidRows
            The rows are malformed, or their columns are not the reference's.
        VersionNotKnown
            The named version was neither trained nor loaded here.
        NoReference, ReferenceGone, SetNotLoaded
            There is nothing to compare with.
        MlflowUnavailable
            The drift sample cannot be read now.
        """
        if request.model_version is not None and request.registered_model_name is None:
            raise InvalidRows(
                "Name the model of that version: registered_model_name.", error="Invalid request"
            )
        reference = self._reference(request)
        columns = reference.table.columns if reference.table.named else None
        data = read_rows(request.data, "data", columns)
        result = check_drift(pair_columns(reference.table, data), self._rule)
        named = self._named(request, reference)
        content = self._content(result)
        with self._database.transaction():
            check = self._checks.add(
                model_version_id=reference.version.id if reference.version else None,
                registered_name=named[0],
                version=named[1],
                reference=reference.words,
                row_count=result.rows,
                share_drifted=result.share_drifted,
                verdict=result.verdict,
                result=content,
                request_id=request_id(),
            )
        return self._with_run(check, result, data, reference.table) if result.drift else check

    def list(self, limit: int, before_id: int | None) -> list[StoredCheck]:
        """Return the checks, newest first."""
        with self._database.transaction():
            return self._checks.list(limit, before_id)

    def _reference(self, request: DriftRequest) -> Reference:
        version, words, table = None, "rows of the request", None
        with self._database.transaction():
            if request.registered_model_name is not None:
                version = self._find(request.registered_model_name, request.model_version)
                if version is None and request.reference is None:
                    raise VersionNotKnown()
            elif request.reference is None:
                version = self._references.find_serving()
                if version is None:
                    raise NoReference("No model serves yet. " + NoReference.advice)
            if request.reference is None and version is not None:
                words = f"drift sample of {version}"
                if version.drift_sample_id is None:
                    if version.dataset_id is None:
                        raise NoReference(
                            f'{version} came without a drift sample. Send rows as "reference".'
                        )
                    words = f"training set of {version}"
                    table = self._references.read_training_rows(version)
        if request.reference is not None:
            table = read_rows(request.reference, "reference")
        elif table is None and version is not None and version.drift_sample_id is not None:
            table = self._references.read_sample(version.drift_sample_id)
        if table is None:
            raise LookupError("A reference was neither found nor refused.")
        return Reference(table, words, version)

    def _find(self, name: str, version: int | None) -> KnownVersion | None:
        if version is None:
            serving = self._references.find_serving()
            if serving is not None and serving.registered_name == name:
                return serving
        return self._references.find_version(name, version)

    def _named(self, request: DriftRequest, reference: Reference) -> tuple[str | None, int | None]:
        if reference.version is not None:
            return reference.version.registered_name, reference.version.version
        return request.registered_model_name, request.model_version

    def _content(self, result: DriftResult) -> dict[str, Any]:
        return {
            **asdict(result),
            "columns": [asdict(column) for column in result.columns],
            "columns_drifted": result.drifted,
            "false_alarm_rate": self._rule.false_alarm_rate,
            "share_threshold": self._rule.share,
            "correction": CORRECTION,
            "message": _sentence(result),
            "run_name": None,
            "notes": [],
        }

    def _with_run(
        self, check: StoredCheck, result: DriftResult, data: Table, reference: Table
    ) -> StoredCheck:
        """Make the run as well as MLflow lets us, and store which it is."""
        name = check.registered_name or "unnamed"
        version = 0 if check.version is None else check.version
        run = DriftRun(
            name=f"drift_{name}_{version}_{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            tags={
                "registered_model_name": check.registered_name or "",
                "model_version": "" if check.version is None else str(check.version),
                "reference": check.reference,
                "verdict": check.verdict,
                "columns_drifted": json.dumps(result.drifted, ensure_ascii=False),
                "request_id": check.request_id,
                "cellar.drift_check_id": str(check.id),
            },
            metrics=_metrics(result),
            params={
                "correction": CORRECTION,
                **{f"rule_{key}": value for key, value in asdict(self._rule).items()},
            },
            result=check.result,
            data=data,
            reference=reference,
        )
        content = dict(check.result)
        run_id = None
        try:
            run_id = self._runs.record(run)
            content["run_name"] = run.name
        except DomainError as error:
            log.warning("Drift check %d has no run: %s", check.id, error)
            content["notes"] = [f"There is no MLflow run of this check: {error.message}"]
        with self._database.transaction():
            return self._checks.set_run(check.id, run_id, content)


def _metrics(result: DriftResult) -> dict[str, float]:
    metrics: dict[str, float] = {
        "share_drifted": result.share_drifted,
        "columns_drifted": len(result.drifted),
        "columns_checked": len(result.columns),
        "tests": result.tests,
        "rows": result.rows,
        "reference_rows": result.reference_rows,
    }
    for column in result.columns:
        if column.distance is not None and column.adjusted_p_value is not None:
            metrics[f"distance.{column.name}"] = column.distance
            metrics[f"adjusted_p_value.{column.name}"] = column.adjusted_p_value
        metrics[f"missing_share.{column.name}"] = column.missing.share
    return metrics


def _sentence(result: DriftResult) -> str:
    counted = f"{len(result.drifted)} of {len(result.columns)} columns"
    if result.verdict == "drift":
        return f"Drift: {counted} have drifted ({_listed(result.drifted)})."
    found = f"{counted} have drifted." if result.drifted else "No drift found."
    if result.verdict == "no_drift":
        return found
    if result.rows_needed is not None:
        need = f"at least {result.rows_needed} rows are needed, {result.rows} were sent"
    else:
        need = (
            f"the reference has {result.reference_rows} rows only; with "
            f"{result.rows_needed_on_both_sides} on both sides it could"
        )
    return f"{found} Too few rows to tell: a large change could go unseen; {need}."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown

"""Runs: opened, filled, ended, found."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlflowrest.artifacts import path_of
from mlflowrest.transport import Transport

Status = Literal["FINISHED", "FAILED", "KILLED"]

LONGEST_PARAM = 6_000
LONGEST_TAG = 8_000
MOST_PER_CALL = {"params": 100, "tags": 100, "metrics": 1000}
MOST_ITEMS_PER_CALL = 1000
MOST_BYTES_PER_CALL = 900_000
"""MLflow refuses a batch of 1 MB; the rest is for what stands around the items."""

Item = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run as MLflow has it. `artifact_path` is its folder below the artifact root.

    Times are milliseconds since 1970; `end_ms` is None while the run is open.
    """

    id: str
    experiment_id: str
    name: str
    status: str
    lifecycle_stage: str
    start_ms: int
    end_ms: int | None
    artifact_path: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


class Runs:
    """Runs by explicit ids."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        experiment_id: str,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        start_ms: int | None = None,
    ) -> Run:
        """Open a run (status RUNNING) and return it. `start_ms` is now if left out."""
        answer = self._transport.post(
            "runs/create",
            {
                "experiment_id": experiment_id,
                "run_name": name,
                "start_time": _now_ms() if start_ms is None else start_ms,
                "tags": _pairs(tags or {}, LONGEST_TAG),
            },
        )
        return _run(answer["run"])

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, Any] | None = None,
        step: int = 0,
    ) -> None:
        """Log everything with as few calls as MLflow's limits allow, one for what is usual.

        Params and tags are written as text and cut at MLflow's longest (6,000 and 8,000
        characters). Metrics may be NaN or infinite.
        """
        now_ms = _now_ms()
        items = [
            *(("params", pair) for pair in _pairs(params or {}, LONGEST_PARAM)),
            *(("tags", pair) for pair in _pairs(tags or {}, LONGEST_TAG)),
            *(
                (
                    "metrics",
                    {"key": key, "value": _number(value), "timestamp": now_ms, "step": step},
                )
                for key, value in (metrics or {}).items()
            ),
        ]
        for batch in _batches(items):
            self._transport.post("runs/log-batch", {"run_id": run_id, **batch})

    def terminate(
        self, run_id: str, status: Status = "FINISHED", *, end_ms: int | None = None
    ) -> None:
        """End a run; `end_ms` is now if left out."""
        self._transport.post(
            "runs/update",
            {
                "run_id": run_id,
                "status": status,
                "end_time": _now_ms() if end_ms is None else end_ms,
            },
        )

    def get(self, run_id: str) -> Run:
        """Return a run, deleted or not; `MlflowNotFound` when there never was one."""
        return _run(self._transport.get("runs/get", run_id=run_id)["run"])

    def search(
        self,
        experiment_ids: Sequence[str],
        filter_string: str = "",
        *,
        order_by: Sequence[str] = ("attributes.start_time DESC",),
        max_results: int = 1000,
    ) -> list[Run]:
        """Return up to `max_results` active runs that MLflow's filter lets through."""
        found: list[Run] = []
        token: str | None = None
        while len(found) < max_results:
            answer = self._transport.post(
                "runs/search",
                {
                    "experiment_ids": list(experiment_ids),
                    "filter": filter_string,
                    "order_by": list(order_by),
                    "max_results": min(1000, max_results - len(found)),
                    "run_view_type": "ACTIVE_ONLY",
                    **({"page_token": token} if token else {}),
                },
            )
            found += [_run(item) for item in answer.get("runs", [])]
            token = answer.get("next_page_token")
            if not token:
                break
        return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _pairs(values: Mapping[str, Any], longest: int) -> list[Item]:
    return [{"key": key, "value": str(value)[:longest]} for key, value in values.items()]


def _batches(items: Iterable[tuple[str, Item]]) -> Iterator[dict[str, list[Item]]]:
    """Yield what fits into one call each; nothing for no items."""
    batch: dict[str, list[Item]] = {}
    count = size = 0
    for kind, item in items:
        item_size = len(json.dumps(item)) + 2
        full = len(batch.get(kind, ())) == MOST_PER_CALL[kind] or count == MOST_ITEMS_PER_CALL
        if full or size + item_size > MOST_BYTES_PER_CALL:
            yield batch
            batch, count, size = {}, 0, 0
        batch.setdefault(kind, []).append(item)
        count, size = count + 1, size + item_size
    if batch:
        yield batch


def _number(value: float) -> float | str:
    """Return a metric as MLflow's JSON writes it: NaN and the infinities as text."""
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _run(item: Mapping[str, Any]) -> Run:
    info, data = item["info"], item.get("data", {})
    tags = {tag["key"]: tag.get("value", "") for tag in data.get("tags", [])}
    end_ms = info.get("end_time")
    return Run(
        id=info["run_id"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("run_name") or tags.get("mlflow.runName", ""),
        status=info["status"],
        lifecycle_stage=info["lifecycle_stage"],
        start_ms=int(info.get("start_time", 0)),
        end_ms=int(end_ms) if end_ms else None,
        artifact_path=path_of(info["artifact_uri"]),
        params={item["key"]: item.get("value", "") for item in data.get("params", [])},
        metrics={item["key"]: float(item["value"]) for item in data.get("metrics", [])},
        tags=tags,
    )

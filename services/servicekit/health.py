"""Liveness and readiness: is the process up, and does everything it needs answer."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from flask_restful import Resource

from servicekit.api import endpoint, json_response
from servicekit.errors import DomainError
from servicekit.version import VERSION
from servicekit.wire import HealthAnswer, NotReadyAnswer, ReadyAnswer

Check = Callable[[], None]


class HealthResource(Resource):  # type: ignore[misc]
    """`GET /health`."""

    def __init__(self, service: str, started_s: float) -> None:
        self._service = service
        self._started_s = started_s

    @endpoint(summary="Liveness: the process is up", answers={200: HealthAnswer})
    def get(self) -> HealthAnswer:
        """Answers as long as the process does; asks nobody else."""
        return HealthAnswer(
            status="healthy",
            timestamp=datetime.now(UTC).isoformat(),
            service=self._service,
            version=VERSION,
            uptime_s=round(time.monotonic() - self._started_s, 3),
        )


class ReadyResource(Resource):  # type: ignore[misc]
    """`GET /ready`."""

    def __init__(self, service: str, checks: Mapping[str, Check]) -> None:
        self._service = service
        self._checks = checks

    @endpoint(
        summary="Readiness: database, migrations and peers answer",
        answers={200: ReadyAnswer, 503: NotReadyAnswer},
    )
    def get(self) -> object:
        """Runs every check; 503 names those that failed."""
        results = {name: _outcome(check) for name, check in self._checks.items()}
        failed = [name for name, outcome in results.items() if outcome != "ok"]
        if failed:
            answer = NotReadyAnswer(
                status="not ready",
                error="Not ready",
                message=f"Waiting for: {', '.join(failed)}. Try again in a moment.",
                checks=results,
            )
            return json_response(answer, 503)
        now = datetime.now(UTC).isoformat()
        return ReadyAnswer(status="ready", timestamp=now, service=self._service, checks=results)


def _outcome(check: Check) -> str:
    try:
        check()
    except DomainError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - whatever fails is reported, by its kind alone
        return f"failed ({type(error).__name__})"
    return "ok"

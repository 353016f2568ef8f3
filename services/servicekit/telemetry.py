"""Request ids, log lines and counters: what an operator sees of a service.

Knows Flask; knows nothing of the domain. Counters are right across worker processes when
`PROMETHEUS_MULTIPROC_DIR` names a folder (`servicekit.serve` sets it).
"""

import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

REQUEST_ID_HEADER = "X-Request-ID"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
# A caller may invent methods; the counters must not grow with them.
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_request_id: ContextVar[str] = ContextVar("request_id", default="-")

REQUESTS = Counter(
    "http_requests_total", "Requests answered", ["service", "method", "route", "status"]
)
DURATION = Histogram(
    "http_request_duration_seconds", "Time to answer a request", ["service", "method", "route"]
)

log = logging.getLogger(__name__)
access_log = logging.getLogger("servicekit.access")


def request_id() -> str:
    """Return the id of the request being answered, `-` outside one."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Go on under a request's id, in work that was begun by it but runs outside of it."""
    _request_id.set(value)


def acceptable_request_id(given: str | None) -> str | None:
    """Return a caller's request id if it may stand in logs and tables, else None."""
    return given if given and _ACCEPTABLE_ID.fullmatch(given) else None


def register_telemetry(app: Flask) -> None:
    """Give each request an id, one log line and its place in the counters."""

    @app.before_request
    def begin() -> None:
        given = acceptable_request_id(request.headers.get(REQUEST_ID_HEADER))
        _request_id.set(given or uuid.uuid4().hex)
        g.started_s = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        duration_s = time.perf_counter() - g.get("started_s", time.perf_counter())
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.method in _KNOWN_METHODS else "other"
        REQUESTS.labels(app.name, method, route, response.status_code).inc()
        DURATION.labels(app.name, method, route).observe(duration_s)
        response.headers[REQUEST_ID_HEADER] = request_id()
        quiet = request.path in {"/health", "/ready", "/prometheus_metrics"}
        access_log.log(
            logging.DEBUG if quiet and response.status_code < 400 else logging.INFO,
            "%s %s %d %.1f ms",
            request.method,
            request.path,
            response.status_code,
            duration_s * 1000,
        )
        return response


def prometheus_text(collectors: Iterable[Collector] = ()) -> Response:
    """Return all counters of the service, and what `collectors` find, in Prometheus' text format.

    A collector that fails, e.g. because the database is away, is left out of this answer.
    """
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    text = generate_latest(registry) + b"".join(map(_collected, collectors))
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def _collected(collector: Collector) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        return generate_latest(registry)
    except Exception as error:  # noqa: BLE001 - the counters are worth having without it
        log.warning("%s could not be collected: %s", type(collector).__name__, error)
        return b""


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True


class _UtcFormatter(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A path or an error may quote the caller's line breaks: one event must stay one line.
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


class _JsonFormatter(_UtcFormatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: str, log_format: str) -> None:
    """Send all log lines to standard error in the chosen form; may be called again."""
    handler = logging.StreamHandler()
    handler.addFilter(_RequestIdFilter())
    text = "%(asctime)s %(levelname)-7s [%(request_id)s] %(name)s: %(message)s"
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _UtcFormatter(text))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Says two lines at every look at the revision, hence at every /ready.
    logging.getLogger("alembic").setLevel(logging.WARNING)

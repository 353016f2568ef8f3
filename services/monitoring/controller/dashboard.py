"""`/dashboard`: the live page, the state it shows, and its buttons."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, send_from_directory
from flask_restful import Resource
from werkzeug.exceptions import NotFound

from contracts.monitoring import (
    DashboardAction,
    DashboardStateAnswer,
    EventsQuery,
    OneAction,
    SectionAnswer,
)
from monitoring.service.dashboard import ActionService, DashboardService, Section
from monitoring.service.searches import SEARCHES_PATH
from servicekit.api import endpoint
from servicekit.event_stream import EventStreams

PAGE_FOLDER = Path(__file__).parents[1] / "page"
FILES_PATH = "/dashboard/files"

MEDIA_TYPES: Mapping[str, str] = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""What of the folder is served, and as what; the machine's own list of types may be odd."""

HEADERS: Mapping[str, str] = {
    # Nothing inline, nothing from elsewhere, and no string ever becomes markup or code.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for again each time, answered 304 as long as it is the same.
    "Cache-Control": "no-cache",
}

PATHS: Mapping[str, tuple[str, str]] = {
    "set_canary_probability": ("ml_model", "/set-canary-probability"),
    "update_next": ("ml_model", "/update-model"),
    "accept_next": ("ml_model", "/accept-next-model"),
    "set_shadow": ("ml_model", "/set-shadow"),
    "rollback": ("ml_model", "/rollback"),
    "start_rollout": ("ml_model", "/rollouts"),
    "cancel_rollout": ("ml_model", "/rollouts/{id}/cancel"),
    "trigger_retrain": ("ml_model", "/trigger_retrain"),
    "cancel_job": ("ml_model", "/jobs/{id}/cancel"),
    "cancel_search": ("tracking", f"{SEARCHES_PATH}/{{id}}/cancel"),
}
"""All that the page may ask of the other services, by the action's name."""

Ports = Mapping[str, int]
"""Ports at which a browser reaches the other services: `ml_model_port` and so on."""


class DashboardResource(Resource):  # type: ignore[misc]
    """`GET /dashboard`."""

    @endpoint(summary="The live page", answers={200: None}, media=("text/html",))
    def get(self) -> Response:
        """One page for a person: traffic, slots, versions, history, drift, searches, jobs and
        the ledger.

        It follows the events below and needs nothing from another host.
        """
        return _file("index.html")


class DashboardStateResource(Resource):  # type: ignore[misc]
    """`GET /dashboard/state`."""

    def __init__(self, dashboard: DashboardService, ports: Ports) -> None:
        self._dashboard = dashboard
        self._ports = ports

    @endpoint(summary="All that the live page shows", answers={200: DashboardStateAnswer})
    def get(self) -> DashboardStateAnswer:
        """Every section with the answer of the call behind it, at most a second old; of searches
        without their grids, and with each candidate's score for one search only.

        `error` says why the newest call failed; `data` is then the answer before, from the time
        `at`.
        """
        return DashboardStateAnswer(
            **self._ports,
            sections={name: _wire(item) for name, item in self._dashboard.sections().items()},
        )


class DashboardEventsResource(Resource):  # type: ignore[misc]
    """`GET /dashboard/events`."""

    def __init__(
        self,
        dashboard: DashboardService,
        ports: Ports,
        streams: EventStreams,
        lifetime_s: float,
    ) -> None:
        self._dashboard = dashboard
        self._ports = ports
        self._streams = streams
        self._lifetime_s = lifetime_s

    @endpoint(
        summary="The state and its changes, as server-sent events",
        query=EventsQuery,
        answers={200: None},
        media=("text/event-stream",),
    )
    def get(self, query: EventsQuery) -> Response:
        """Event `state`: the sections that are new or have changed, in the shape of
        `/dashboard/state`; event `beat` every second without a change.

        The stream ends by itself and a browser's `EventSource` comes back. Each holds a thread:
        503 while the worker has enough of them; ask `/dashboard/state` then.
        """
        lifetime_s = self._lifetime_s if query.max_s is None else query.max_s
        return self._streams.open(self._changes(), min(lifetime_s, self._lifetime_s))

    def _changes(self) -> Callable[[], dict[str, Any] | None]:
        """Return a function that gives what is new since it was last called."""
        seen: dict[str, int] = {}

        def next_message() -> dict[str, Any] | None:
            sections = self._dashboard.sections()
            changed = {
                name: _wire(item)
                for name, item in sections.items()
                if seen.get(name) != item.change
            }
            seen.update({name: item.change for name, item in sections.items()})
            if not changed:
                return None
            answer = DashboardStateAnswer(**self._ports, sections=changed)
            return answer.model_dump(mode="json")

        return next_message


class DashboardActionsResource(Resource):  # type: ignore[misc]
    """`POST /dashboard/actions`."""

    def __init__(self, actions: ActionService) -> None:
        self._actions = actions

    @endpoint(
        summary="Do what a button of the live page stands for",
        body=DashboardAction,
        answers={200: dict[str, Any], 201: dict[str, Any], 202: dict[str, Any]},
        errors=(404, 409, 422),
        example={"action": "set_canary_probability", "body": {"probability": 1.0}},
    )
    def post(self, body: DashboardAction) -> Response:
        """Passed on to the ML service or tracking; status and JSON come back as they are.

        Only JSON is taken, so that no form of another site can press a button.
        """
        if isinstance(body, OneAction):
            peer, path = PATHS[body.action]
            payload, status = self._actions.act(peer, path.format(id=body.id), {})
        else:
            payload, status = self._actions.act(*PATHS[body.action], body.body)
        response = jsonify(payload)
        response.status_code = status
        return response


def register_page_files(app: Flask) -> None:
    """Serve the page's scripts and style; they are no part of the API."""

    @app.get(f"{FILES_PATH}/<path:name>")
    def serve_page_file(name: str) -> Response:
        return _file(name)


def _file(name: str) -> Response:
    media_type = MEDIA_TYPES.get(Path(name).suffix)
    if media_type is None:
        raise NotFound()
    response = send_from_directory(PAGE_FOLDER, name, mimetype=media_type)
    response.headers.update(HEADERS)
    return response


def _wire(section: Section) -> SectionAnswer:
    return SectionAnswer(
        data=section.data,
        error=section.error,
        at=section.at.isoformat() if section.at else None,
    )

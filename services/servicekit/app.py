"""The application factory: every service is this plus its routes."""

import time
from collections.abc import Mapping, Sequence

from flask import Flask, Response, jsonify
from prometheus_client.registry import Collector

from servicekit.api import Api, Route, register_error_table
from servicekit.database import Database
from servicekit.docs_page import register_docs_page
from servicekit.health import Check, HealthResource, ReadyResource
from servicekit.openapi import openapi_document
from servicekit.own_sites import OwnSites, register_own_sites
from servicekit.settings import ServiceSettings
from servicekit.syntax_trees import make_parsing_thread_safe
from servicekit.telemetry import configure_logging, prometheus_text, register_telemetry
from servicekit.upload import UploadRules
from servicekit.working_folder import remove_abandoned


def create_service(
    name: str,
    settings: ServiceSettings,
    *,
    title: str,
    description: str = "",
    database: Database | None = None,
    routes: Sequence[Route] = (),
    checks: Mapping[str, Check] | None = None,
    collectors: Sequence[Collector] = (),
    uploads: UploadRules | None = None,
) -> Flask:
    """Build a service: its routes, health, readiness, counters, API description and errors.

    Parameters
    ----------
    name : the service's one name (folder, import, log and metric label), e.g. `ml_model`.
    title : its name for people, shown on the interactive page.
    database : bound to the application; its own check is added to readiness as `database`.
    checks : what else readiness asks, by name; a check raises when its peer is not there.
    collectors : figures that are looked up whenever Prometheus asks, besides the counters.
    uploads : needed where an endpoint takes files: where they are kept meanwhile, and how much.
    """
    make_parsing_thread_safe()
    configure_logging(settings.log_level, settings.log_format)
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions["cellar_uploads"] = uploads
    if uploads is not None:
        # A worker that was killed left its files; the one that takes its place removes them.
        worker_start = app.extensions.setdefault("cellar_worker_start", [])
        worker_start.append(lambda: remove_abandoned(uploads.folder))
    app.url_map.strict_slashes = False
    # A doubled slash is an unknown path like any other, not a redirect with an HTML page.
    app.url_map.merge_slashes = False
    named_checks: dict[str, Check] = {}
    if database is not None:
        database.init_app(app)
        named_checks["database"] = database.check
    named_checks.update(checks or {})
    every_route = [
        *routes,
        Route(HealthResource, "/health", {"service": name, "started_s": time.monotonic()}),
        Route(ReadyResource, "/ready", {"service": name, "checks": named_checks}),
    ]
    register_telemetry(app)
    sites = OwnSites.of(settings, name)
    register_own_sites(app, sites)
    app.extensions["cellar_own_sites"] = sites
    register_error_table(app)
    api = Api(app)
    for route in every_route:
        api.add_resource(
            route.resource,
            route.path,
            endpoint=f"{route.resource.__module__}.{route.resource.__qualname__}:{route.path}".replace(
                ".", "-"
            ),
            resource_class_kwargs=dict(route.kwargs),
        )
    document = openapi_document(title, description, every_route)

    @app.get("/openapi.json")
    def serve_openapi() -> Response:
        return jsonify(document)

    @app.get("/prometheus_metrics")
    def serve_metrics() -> Response:
        return prometheus_text(collectors)

    register_docs_page(app, title)
    return app

"""Run a service: `python -m servicekit.serve simulator`.

The application is built once in the master and shared with the workers by fork, so that a heavy
import is paid once in time and memory and a replaced worker answers at once. A service without
hot routes runs under gunicorn; one with them under granian, whose workers have an event loop.
"""

import argparse
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from servicekit.settings import ServiceSettings, SettingsError

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

MOST_CONNECTIONS = 1024
"""Requests a worker with an event loop has in hand at most; more wait in the kernel."""


class _Server(BaseApplication):  # type: ignore[misc]
    """Gunicorn with its options from our settings instead of a file."""

    def __init__(self, service: str, settings: ServiceSettings, app: Flask) -> None:
        self._service = service
        self._settings = settings
        self._app = app
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"{self._settings.bind_host}:{self._settings.port}",
            "workers": self._settings.workers,
            "threads": self._settings.threads,
            "worker_class": "servicekit.server_worker.JsonErrorWorker",
            "preload_app": True,
            # gthread workers beat from their main thread, so a long request is no silent worker.
            "timeout": 120,
            "graceful_timeout": 30,
            "keepalive": 5,
            # Heartbeats must not wait for a disk.
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,
            "loglevel": "warning",
            "post_fork": _forget_connections,
            "child_exit": _forget_counters,
            "proc_name": f"cellar-{self._service}",
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._app


def _forget_connections(_server: object, worker: Any) -> None:
    _start_worker(worker.app.wsgi())


def _start_worker(app: Flask) -> None:
    database = app.extensions.get("cellar_database")
    if database is not None:
        database.dispose(app)
    for start in app.extensions.get("cellar_worker_start", ()):
        start()


def _forget_counters(_server: object, worker: Any) -> None:
    # Imported late: prometheus_client looks for METRICS_FOLDER when it is first imported.
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _serve_with_event_loop(app: Flask, settings: ServiceSettings) -> None:
    """Serve an application that has hot routes; returns when told to stop."""
    # Only the service that has hot routes depends on it.
    from granian.constants import HTTPModes, Interfaces
    from granian.server import Server

    from servicekit.async_gateway import Gateway

    # An RSGI application is an object; granian's types know functions only.
    def load() -> Any:
        _start_worker(app)
        return Gateway(
            app.wsgi_app,
            app.extensions["cellar_hot_routes"],
            sites=app.extensions["cellar_own_sites"],
            threads=settings.threads,
            max_body=settings.max_body_bytes,
        )

    # Workers share what the master imported; Python 3.14 no longer forks unless told to.
    multiprocessing.set_start_method("fork", force=True)
    # Its lines go where ours go, in our form; what it says of itself is of no interest.
    logging.getLogger("_granian").setLevel(logging.WARNING)
    Server(
        app.name,
        address=settings.bind_host,
        port=settings.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.workers,
        backpressure=MOST_CONNECTIONS,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=30,
    ).serve(target_loader=load, wrap_loader=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to stop; a wrong setting ends with one line that names it."""
    parser = argparse.ArgumentParser(prog="servicekit.serve", description="Run one service.")
    parser.add_argument("service", choices=("simulator", "ml_model", "tracking", "monitoring"))
    service = parser.parse_args(arguments).service
    folder = tempfile.mkdtemp(prefix=f"cellar-{service}-metrics-")
    os.environ[METRICS_FOLDER] = folder
    # No library in a service sends word to its makers, unless the operator wants it.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # OpenMP's threads else spin while they wait for one another: on a busy machine with two cores
    # a gradient boosting fit took 42 s instead of 0.5 s. Read when the library is first loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    master_pid = os.getpid()
    try:
        settings = import_module(f"{service}.settings").Settings.load()
        app: Flask = import_module(f"{service}.app").create_app(settings)
        if "cellar_hot_routes" in app.extensions:
            _serve_with_event_loop(app, settings)
        else:
            _Server(service, settings, app).run()
    except SettingsError as error:
        raise SystemExit(f"{service}: {error}") from None
    finally:
        # A forked worker leaves through here as well; the folder is the master's.
        if os.getpid() == master_pid:
            # A second signal while the interpreter winds up must not make a clean end a kill.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

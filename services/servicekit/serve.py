"""Run a service under gunicorn: `python -m servicekit.serve simulator`.

The application is built once in the master and shared with the workers by fork, so that a heavy
import is paid once in time and memory and a replaced worker answers at once.
"""

import argparse
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


class _Server(BaseApplication):  # type: ignore[misc]
    """Gunicorn with its options from our settings instead of a file."""

    def __init__(self, service: str, settings: ServiceSettings) -> None:
        self._service = service
        self._settings = settings
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
        app: Flask = import_module(f"{self._service}.app").create_app(self._settings)
        return app


def _forget_connections(_server: object, worker: Any) -> None:
    app = worker.app.wsgi()
    database = app.extensions.get("cellar_database")
    if database is not None:
        database.dispose(app)
    for start in app.extensions.get("cellar_worker_start", ()):
        start()


def _forget_counters(_server: object, worker: Any) -> None:
    # Imported late: prometheus_client looks for METRICS_FOLDER when it is first imported.
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


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
        _Server(service, settings).run()
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

"""The servers that the ML service is compared with, as processes: MLServer and MLflow's own.

MLServer pins versions that the suite does not have, so it lives in an environment of its own below
the user's cache folder; it is made on first use.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn

from tests.support.running_suite import Program

MLSERVER = "1.7.1"
# The workers of MLServer 1.7.1 end at once with a newer one.
UVLOOP = "0.21.0"

SAVE = """
import sys, joblib, numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
_, data, estimator, target = sys.argv
with np.load(data) as wine:
    joblib.dump(make_pipeline(StandardScaler(), eval(estimator)).fit(wine["X"], wine["y"]), target)
"""


@dataclass
class Rival:
    """A server that answers one row for each request."""

    name: str
    url: str
    ready_url: str
    bodies: list[bytes]
    program: Program | None

    def labels(self, answer: Any) -> list[Any]:
        """Return the labels in its JSON."""
        if "outputs" in answer:
            return list(np.ravel(answer["outputs"][0]["data"]))
        return list(answer["predictions"])


def kept_environment() -> dict[str, str]:
    """Return this process's environment without what could change a rival."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CELLAR_", "MLFLOW_", "PYTHON", "MLSERVER"))
    }


def mlserver_python() -> Path:
    """Return the interpreter of MLServer's environment, which is made when it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "cellar-benchmarks" / f"mlserver-{MLSERVER}-sklearn-{sklearn.__version__}"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        print(f"Making MLServer's environment in {folder}", flush=True)
        wanted = [
            *(f"mlserver=={MLSERVER}", f"mlserver-sklearn=={MLSERVER}", f"uvloop=={UVLOOP}"),
            f"scikit-learn=={sklearn.__version__}",
        ]
        for arguments in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            ["pip", "install", "--quiet", "--python", str(python), *wanted],
        ):
            subprocess.run([str(Path(sys.executable).with_name("uv")), *arguments], check=True)
        (folder / "made").touch()
    return python


def mlserver(
    estimator: str, data: Path, workers: int, ports: tuple[int, int], folder: Path
) -> Rival:
    """Return MLServer's sklearn runtime, quiet; `workers` 0: inference in the web process."""
    python = mlserver_python()
    folder.mkdir()
    subprocess.run(
        [str(python), "-c", SAVE, str(data), estimator, str(folder / "model.joblib")],
        check=True,
        env=kept_environment(),
    )
    server = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": ports[0],
        "grpc_port": ports[1],
        "metrics_endpoint": None,
        "parallel_workers": workers,
    }
    model = {
        "name": "wine",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "1"},
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
    with np.load(data) as wine:
        bodies = [
            {"inputs": [{"name": "x", "shape": [1, len(r)], "datatype": "FP64", "data": list(r)}]}
            for r in wine["X"].tolist()
        ]
    url = f"http://127.0.0.1:{ports[0]}/v2"
    return Rival(
        f"MLServer, {workers or 'no'} inference workers",
        f"{url}/models/wine/infer",
        f"{url}/health/ready",
        [json.dumps(body).encode() for body in bodies],
        Program(
            [str(python.with_name("mlserver")), "start", str(folder)],
            kept_environment(),
            folder / "server.log",
        ),
    )


def mlflow_serve(
    name: str, model_uri: str, tracking_url: str, bodies: list[Any], port: int, folder: Path
) -> Rival:
    """Return `mlflow models serve` with two workers."""
    folder.mkdir()
    bin_folder = Path(sys.executable).parent
    environment = kept_environment() | {
        "MLFLOW_TRACKING_URI": tracking_url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }
    command = [
        *(str(bin_folder / "mlflow"), "models", "serve", "--model-uri", model_uri),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"),
    ]
    url = f"http://127.0.0.1:{port}"
    return Rival(
        name,
        f"{url}/invocations",
        f"{url}/ping",
        [json.dumps(body).encode() for body in bodies],
        Program(command, environment, folder / "server.log"),
    )

"""Online predictions: Cellar, MLServer, `mlflow models serve` and a static answer, side by side.

    python benchmarks/serving.py [--rounds 3] [--seconds 8] [--quick]

One row of wine per request, over keep-alive connections to 127.0.0.1, from `wrk` (Debian: `apt
install wrk`). Two worker processes each; Cellar's log is on and PostgreSQL's fsync too. The same
pipeline, a scaler with a logistic regression or a forest of 100 trees, is served by all: Cellar and
MLflow read one registered version with named columns (what the suite registers; MLflow is asked
with `dataframe_split`). MLflow is also measured with a tensor signature (`inputs`, its fastest),
MLServer with two inference workers and with none; its better figure counts. The static answer is
Cellar's own server without a model and a log: the limit. Rounds take turns, medians count.

To reach, with the log on: at 32 connections 4 times MLServer and 8 times MLflow for the logistic
regression, 20 times both for the forest; at 8 connections 2.5, 5 and 12; p99 under theirs; 10,000
rows in one request in at most twice the bare model call plus COPY.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

import numpy as np  # noqa: E402 - found by the line above
import requests  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.datasets import load_wine  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import Pipeline, make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from benchmarks.rival_servers import Rival, kept_environment, mlflow_serve, mlserver  # noqa: E402
from tests.support.running_suite import OwnSuite, Postgres, Program, free_ports  # noqa: E402

ESTIMATORS = {
    "LogisticRegression": "LogisticRegression(max_iter=1000)",
    "RandomForest": "RandomForestClassifier(n_estimators=100, random_state=0)",
}
CONNECTIONS = (8, 32)
TO_REACH = {
    ("LogisticRegression", 8): {"MLServer": 2.5, "MLflow": 5.0},
    ("LogisticRegression", 32): {"MLServer": 4.0, "MLflow": 8.0},
    ("RandomForest", 8): {"MLServer": 12.0, "MLflow": 12.0},
    ("RandomForest", 32): {"MLServer": 20.0, "MLflow": 20.0},
}
BATCH_ROWS = 10_000
BATCH_FACTOR = 2.0
CELLAR, STATIC = "Cellar", "static answer"
READY_S = 240.0

WRK_SCRIPT = """
local requests, last = {}, 0
function init(args)
  for body in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("POST", nil,
      {["Content-Type"] = "application/json", ["Host"] = "127.0.0.1"}, body)
  end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
function done(summary, latency, _)
  local e = summary.errors
  local form = '{"answers": %d, "s": %.4f, "p50_ms": %.4f, "p99_ms": %.4f, "failed": %d}\\n'
  io.write(string.format(form, summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run of wrk measured."""

    per_s: float
    p50_ms: float
    p99_ms: float
    answers: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one round of two seconds")
    parser.add_argument("--models", nargs="+", choices=list(ESTIMATORS), default=list(ESTIMATORS))
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt install wrk")
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as name:
        folder = Path(name)
        (folder / "load.lua").write_text(WRK_SCRIPT)
        suite = start_cellar(folder)
        try:
            all_reached = [
                measure(suite, folder, model, options.rounds, options.seconds)
                for model in options.models
            ]
        finally:
            suite.close()
    if not all(all_reached):
        raise SystemExit("Not all that is to be reached was reached.")


def start_cellar(folder: Path) -> OwnSuite:
    """Start PostgreSQL with fsync, MLflow and the ML service."""
    names = ("ml_model", "mlflow", "postgres", "tracking", "simulator", "monitoring")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items() if name != "postgres"}
    suite = OwnSuite(urls, folder, Postgres(folder / "postgres", ports["postgres"]))
    command = suite.postgres.program.command
    suite.postgres.program.command = [part.replace("fsync=off", "fsync=on") for part in command]
    try:
        suite.postgres.create()
        suite._migrate()
        for name in ("mlflow", "ml_model"):
            suite.programs[name] = suite._program(name, ports)
            suite.programs[name].start()
            suite.wait_ready(name)
    except BaseException:
        suite.close()
        raise
    assert suite.rows("SHOW fsync") == [("on",)]
    return suite


def pipeline_of(model: str) -> Pipeline:
    """Return the pipeline, not fitted."""
    names = {
        "LogisticRegression": LogisticRegression(max_iter=1000),
        "RandomForest": RandomForestClassifier(n_estimators=100, random_state=0),
    }
    return make_pipeline(StandardScaler(), names[model])


def measure(suite: OwnSuite, folder: Path, model: str, rounds: int, seconds: float) -> bool:
    """Serve one model by all servers; print a table for each number of connections.

    Returns whether all was reached that is to be.
    """
    reached = True
    frame, labels = load_wine(return_X_y=True, as_frame=True)
    fitted = pipeline_of(model).fit(frame, labels)
    np.savez(folder / "wine.npz", X=frame.to_numpy(), y=labels.to_numpy())
    register(suite, model, fitted, frame)
    rows = frame.to_numpy().tolist()
    cellar = Rival(
        CELLAR,
        f"{suite.ml_model_url}/predict",
        f"{suite.ml_model_url}/ready",
        [json.dumps({"data": [row]}).encode() for row in rows],
        None,
    )
    serve(suite, f"models:/{model}/1")
    rivals = [cellar, static_answer(cellar, folder / f"{model}-static")]
    rivals += competitors(suite, folder, model, frame, labels)
    with running([rival for rival in rivals if rival.program is not None]):
        expected = fitted.predict(frame)
        for rival in rivals:
            if rival.name != STATIC:
                check_answers(rival, expected)
        scripts = {rival.name: write_bodies(folder, rival) for rival in rivals}
        for connections in CONNECTIONS:
            found: dict[str, list[Load]] = {rival.name: [] for rival in rivals}
            for rival in rivals:
                load(folder, rival, scripts[rival.name], connections, 1.0)
            logged = count_logged(suite)
            for _ in range(rounds):
                for rival in rivals:
                    found[rival.name].append(
                        load(folder, rival, scripts[rival.name], connections, seconds)
                    )
            logged = count_logged(suite) - logged
            answered = sum(each.answers for each in found[CELLAR])
            reached &= report(model, connections, found)
            print(f"  {answered} answers of Cellar counted, {logged} rows in its log\n", flush=True)
            assert logged >= answered
    return batch(suite, model, fitted, frame) and reached


def register(suite: OwnSuite, model: str, fitted: Pipeline, frame: Any) -> None:
    """Register the pipeline with its columns, as version 1 of the model."""
    for variable in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
        os.environ[variable] = "true"
    import mlflow
    from mlflow.models import infer_signature

    from modelkit.storage import log_model_options

    mlflow.set_tracking_uri(suite.mlflow_url)
    with warnings.catch_warnings(), mlflow.start_run():
        warnings.simplefilter("ignore")
        for name, given in ((model, frame), (f"{model}-tensor", frame.to_numpy())):
            again = clone(fitted).fit(given, load_wine().target)
            mlflow.sklearn.log_model(
                again,
                name=name,
                registered_model_name=name,
                signature=infer_signature(given, again.predict(given)),
                input_example=given[:2],
                **log_model_options(),
            )


def serve(suite: OwnSuite, model_uri: str) -> None:
    """Put the model into both slots, and wait until every worker has it."""
    suite.ask("POST", "ml_model", "/update-model", {"model_uri": model_uri})
    suite.ask("POST", "ml_model", "/accept-next-model")
    # Workers look every 0.2 s.
    time.sleep(2)


def competitors(suite: OwnSuite, folder: Path, model: str, frame: Any, labels: Any) -> list[Rival]:
    """Return the other servers, not started."""
    ports = free_ports(6)
    rows = frame.to_numpy().tolist()
    data = folder / "wine.npz"
    split = [{"dataframe_split": {"columns": list(frame), "data": [row]}} for row in rows]
    return [
        mlserver(ESTIMATORS[model], data, 2, (ports[0], ports[1]), folder / f"{model}-mlserver-2"),
        mlserver(ESTIMATORS[model], data, 0, (ports[2], ports[3]), folder / f"{model}-mlserver-0"),
        mlflow_serve(
            *("MLflow, named columns", f"models:/{model}/1", suite.mlflow_url),
            *(split, ports[4], folder / f"{model}-mlflow-columns"),
        ),
        mlflow_serve(
            *("MLflow, tensor", f"models:/{model}-tensor/1", suite.mlflow_url),
            *([{"inputs": [row]} for row in rows], ports[5], folder / f"{model}-mlflow-tensor"),
        ),
    ]


def static_answer(cellar: Rival, folder: Path) -> Rival:
    """Return Cellar's server with one of its answers, ready made."""
    folder.mkdir()
    answer = requests.post(
        cellar.url, data=cellar.bodies[0], headers={"Content-Type": "application/json"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    (folder / "answer.json").write_bytes(answer.content)
    (port,) = free_ports(1)
    environment = kept_environment() | {
        "CELLAR_PORT": str(port),
        "CELLAR_DATABASE_HOST": "nobody",
        "CELLAR_DATABASE_USER": "nobody",
        "CELLAR_DATABASE_PASSWORD": "none",
    }
    command = [
        *(sys.executable, str(ROOT / "benchmarks" / "static_answer.py")),
        str(folder / "answer.json"),
    ]
    url = f"http://127.0.0.1:{port}/predict"
    program = Program(command, environment, folder / "server.log")
    return replace(cellar, name=STATIC, url=url, ready_url=url, program=program)


@contextmanager
def running(rivals: Sequence[Rival]) -> Iterator[None]:
    """Start the servers and wait for them; stop them at the end."""
    try:
        for rival in rivals:
            assert rival.program is not None
            rival.program.start()
        for rival in rivals:
            wait_for(rival)
        yield
    finally:
        for rival in rivals:
            if rival.program is not None and rival.program.process is not None:
                rival.program.kill()


def wait_for(rival: Rival) -> None:
    """Return when a server answers."""
    assert rival.program is not None and rival.program.process is not None
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert rival.program.process.poll() is None, rival.program.log()[-4000:]
        try:
            if requests.get(rival.ready_url, timeout=5).status_code < 500:
                return
        except requests.RequestException:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{rival.name} does not start:\n{rival.program.log()[-4000:]}")


def check_answers(rival: Rival, expected: Any) -> None:
    """See that a server predicts what the pipeline itself predicts."""
    for index in range(0, len(expected), 10):
        answer = requests.post(
            rival.url,
            data=rival.bodies[index],
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        assert answer.status_code == 200, f"{rival.name}: {answer.text[:2000]}"
        assert [int(label) for label in rival.labels(answer.json())] == [expected[index]]


def write_bodies(folder: Path, rival: Rival) -> Path:
    """Write the requests' bodies, one a line."""
    path = folder / f"{rival.name}.bodies".replace(" ", "_")
    path.write_bytes(b"\n".join(rival.bodies))
    return path


def load(folder: Path, rival: Rival, bodies: Path, connections: int, seconds: float) -> Load:
    """Send requests for some seconds and return what came back; every answer must be good."""
    done = subprocess.run(
        [
            *("wrk", "--threads", "2", "--connections", str(connections)),
            *("--duration", f"{max(1, round(seconds))}s", "--timeout", "30s"),
            *("--script", str(folder / "load.lua"), rival.url, "--", str(bodies)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failed"] == 0, f"{rival.name}: {found}"
    return Load(found["answers"] / found["s"], found["p50_ms"], found["p99_ms"], found["answers"])


def median(loads: Sequence[Load], what: str) -> float:
    """Return the median of one figure."""
    return statistics.median(getattr(each, what) for each in loads)


def report(model: str, connections: int, found: dict[str, list[Load]]) -> bool:
    """Print a table, the ratios and what is to be reached; return whether it is.

    MLflow is judged by named columns, as the suite registers its models.
    """
    all_reached = True
    print(f"{model}, {connections} connections, {len(found[CELLAR])} rounds")
    print(f"  {'':<32} {'answers/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'Cellar is':>10}")
    own = median(found[CELLAR], "per_s")
    for name, loads in found.items():
        rate = median(loads, "per_s")
        ratio = "" if name == CELLAR else f"{own / rate:.2f} x"
        print(
            f"  {name:<32} {rate:>10.0f} {median(loads, 'p50_ms'):>8.2f}"
            f" {median(loads, 'p99_ms'):>8.2f} {ratio:>10}"
        )
    print(f"  share of the limit: {own / median(found[STATIC], 'per_s'):.0%}")
    for rival, factor in TO_REACH[model, connections].items():
        names = [name for name in found if name.startswith(rival)]
        if rival == "MLflow":
            names = [name for name in names if "columns" in name]
        best = max(names, key=lambda name: median(found[name], "per_s"))
        ratio = own / median(found[best], "per_s")
        p99 = median(found[CELLAR], "p99_ms"), median(found[best], "p99_ms")
        reached = ratio >= factor and p99[0] < p99[1]
        all_reached &= reached
        print(
            f"  to reach: {factor:g} x {best}: {ratio:.2f} x, p99 {p99[0]:.2f} against"
            f" {p99[1]:.2f} ms: {'reached' if reached else 'NOT REACHED'}"
        )
    return all_reached


def count_logged(suite: OwnSuite) -> int:
    """Return the predictions that are in the log."""
    return int(suite.rows("SELECT count(*) FROM prediction_log WHERE error IS NULL")[0][0])


def batch(suite: OwnSuite, model: str, fitted: Pipeline, frame: Any, repeats: int = 5) -> bool:
    """One request of many rows against the model call and the COPY of the same rows alone.

    Returns whether the ratio is reached that is to be.
    """
    rng = np.random.default_rng(0)
    rows = frame.to_numpy()[rng.integers(0, len(frame), BATCH_ROWS)]
    rows = rows * rng.normal(1, 0.01, rows.shape)
    body = json.dumps({"data": rows.tolist()}).encode()
    headers = {"Content-Type": "application/json"}
    with_names = frame.iloc[:0].reindex(range(BATCH_ROWS))
    with_names[:] = rows
    times: dict[str, list[float]] = {name: [] for name in ("request", "scikit-learn", "COPY")}
    for number in range(repeats + 1):
        request_id = f"batch-{model}-{number}"
        began = time.perf_counter()
        answer = requests.post(
            f"{suite.ml_model_url}/predict",
            data=body,
            headers=headers | {"X-Request-ID": request_id},
            timeout=300,
        )
        request_s = time.perf_counter() - began
        assert answer.status_code == 200, answer.text[:2000]
        began = time.perf_counter()
        probabilities = fitted.predict_proba(with_names)
        model_s = time.perf_counter() - began
        predicted = fitted.classes_[probabilities.argmax(axis=1)]
        agreement = np.mean(np.array(answer.json()["predictions"]) == predicted)
        assert agreement == 1.0, agreement
        if number:
            # The first one warms up.
            times["request"].append(request_s)
            times["scikit-learn"].append(model_s)
            times["COPY"].append(copy_again(suite, request_id))
    request_s, model_s, copy_s = (statistics.median(each) for each in times.values())
    ratio = request_s / (model_s + copy_s)
    reached = ratio <= BATCH_FACTOR
    print(
        f"{model}, {BATCH_ROWS} rows in one request: {request_s * 1000:.0f} ms; bare"
        f" predict_proba {model_s * 1000:.0f} ms + COPY {copy_s * 1000:.0f} ms: {ratio:.2f} x, to"
        f" reach at most {BATCH_FACTOR:g} x: {'reached' if reached else 'NOT REACHED'}\n",
        flush=True,
    )
    return reached


def copy_again(suite: OwnSuite, request_id: str) -> float:
    """Return the seconds of a COPY of the request's log rows into a table like the log."""
    import io
    from contextlib import closing

    columns = [
        name
        for (name,) in suite.rows(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'prediction_log' AND column_name <> 'id'"
        )
    ]
    listed = ", ".join(columns)
    with closing(suite.postgres._connect("cellar")) as session, session.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS log_copy")
        cursor.execute("CREATE TABLE log_copy (LIKE prediction_log INCLUDING ALL)")
        content = io.StringIO()
        chosen = cursor.mogrify(
            f"SELECT {listed} FROM prediction_log WHERE request_id = %s",  # noqa: S608
            (request_id,),
        ).decode()
        cursor.copy_expert(f"COPY ({chosen}) TO STDOUT", content)
        session.commit()
        content.seek(0)
        began = time.perf_counter()
        cursor.copy_expert(f"COPY log_copy ({listed}) FROM STDIN", content)
        session.commit()
        took_s = time.perf_counter() - began
        assert content.getvalue().count("\n") == BATCH_ROWS
    return took_s


if __name__ == "__main__":
    main()

"""`dvc repro` in a copy of the repository: starts the suite and goes through the lifecycle."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from launcher.env_file import ensure_env_file
from launcher.places import ROOT
from launcher.suite_settings import PROGRAMS, port_variable
from tests.support.running_suite import free_ports

PATIENCE_S = 900
STAGES = ["load", "tune", "train", "evaluate", "monitor"]
# A table of the reader's own, with a name that is no plain word.
FILE = "data/Körpermaße.csv"


@dataclass
class Clone:
    """A repository with what git knows of this one."""

    folder: Path

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command that must end with `code`; return what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            # No engine answers there: the suite runs as processes, beside other tests' suites.
            env=os.environ | {"DOCKER_HOST": "tcp://127.0.0.1:1", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def dvc(self, *arguments: str, code: int = 0) -> str:
        """Run DVC."""
        return self.run(sys.executable, "-m", "dvc", *arguments, code=code)

    def repro(self) -> list[str]:
        """Run `dvc repro`; return the stages that ran."""
        shown = self.dvc("repro")
        return [name for name in STAGES if f"Running stage '{name}'" in shown]

    def result(self, name: str) -> Any:
        """Return a result."""
        return json.loads((self.folder / "lifecycle" / name).read_text(encoding="utf-8"))

    def change_params(self, section: str, **values: Any) -> None:
        """Change parameters as an editor would."""
        yaml = YAML()
        path = self.folder / "params.yaml"
        params = yaml.load(path)
        params[section].update(values)
        with path.open("w") as file:
            yaml.dump(params, file)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("clone")
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, known.split("\0")):
        # What was deleted and not yet committed is known to git as well.
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # The environment of this run instead of one more.
    (folder / ".cellar").mkdir()
    (folder / ".cellar" / "venv").symlink_to(Path(sys.prefix))
    ports = zip(PROGRAMS, free_ports(len(PROGRAMS)), strict=True)
    changes = {port_variable(name): str(port) for name, port in ports} | {"CELLAR_WORKERS": "1"}
    ensure_env_file(folder / ".env", ROOT / ".env.example", changes)
    clone = Clone(folder)
    clone.run("git", "init", "--quiet")
    clone.run("git", "add", "--all")
    clone.run(*("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "All"))
    yield clone
    clone.run("./launch.sh", "down")


def test_repro_goes_through_the_lifecycle_and_then_only_looks(clone: Clone) -> None:
    assert clone.repro() == STAGES

    assert clone.result("dataset.json")["sets"]["rows"] == {
        "training": 106,
        "testing": 36,
        "production": 36,
    }
    assert clone.result("search.json")["LogisticRegression"]["accuracy"] == pytest.approx(
        0.981, abs=0.001
    )
    assert clone.result("testing.json")["metrics"]["accuracy"] == 1.0
    production = clone.result("production.json")
    assert production["retraining_needed"] is True
    assert production["score"] == pytest.approx(2 / 3, abs=0.001)
    assert (production["failed_tests"], production["total_tests"]) == (53, 86)
    page = (clone.folder / "lifecycle" / "report.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith(("<!doctype", "<html"))

    assert clone.repro() == ["load"]


def test_metrics_and_plots_are_dvcs(clone: Clone) -> None:
    shown = clone.dvc("metrics", "show")

    assert "retraining_needed" in shown and "RandomForest.accuracy" in shown
    clone.dvc("plots", "show")
    page = (clone.folder / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "od280/od315_of_diluted_wines" in page
    with (clone.folder / "lifecycle" / "candidates.csv").open(encoding="utf-8") as file:
        candidates = list(csv.DictReader(file))
    assert len(candidates) == 7
    assert all(0.9 < float(line["score"]) <= 1 for line in candidates)


def test_a_table_of_ones_own_and_other_parameters_run_what_depends_on_them(clone: Clone) -> None:
    (clone.folder / "data").mkdir()
    lines = [
        f"{number % 7},{number % 5},{'long' if number % 7 > 3 else 'short'}"
        for number in range(120)
    ]
    (clone.folder / FILE).write_text("\n".join(["a,b,size", *lines]) + "\n", encoding="utf-8")
    clone.dvc("add", FILE)
    clone.change_params("dataset", name="sizes", file=FILE, target="size", types={"b": "text"})
    clone.change_params(
        "search",
        models={"DecisionTree": {"max_depth": {"low": 2, "high": 9}}},
        strategy="random",
        n_candidates=3,
    )

    assert clone.repro() == STAGES
    assert clone.result("dataset.json")["classes"] == ["long", "short"]
    assert clone.result("testing.json")["score"] == 1.0
    chosen = clone.result("chosen.json")
    assert (
        chosen["model"] == "DecisionTree" and 2 <= int(chosen["hyperparameters"]["max_depth"]) <= 9
    )
    with (clone.folder / "lifecycle" / "candidates.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_what_a_stage_cannot_use_is_named(clone: Clone) -> None:
    clone.change_params("search", choose_by="beauty")
    shown = clone.dvc("repro", code=255)
    assert "No run has the metric beauty" in shown and "accuracy, f1_score" in shown

    clone.change_params("search", choose_by="accuracy", scoring="beauty")
    assert "tracking answered 400" in clone.dvc("repro", code=255)

    (clone.folder / "params.yaml").write_text("dataset: {name: wine}\n", encoding="utf-8")
    shown = clone.run("./launch.sh", "stage", "tune", code=1)
    assert "has no sets.seed" in shown

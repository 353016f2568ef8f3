"""docs/own-table.md does what it says: its commands, pasted one after the other, on a table."""

import re
import subprocess
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.running_suite import ROOT, RunningSuite

PAGE = ROOT / "docs" / "own-table.md"
PORT_OF = {"ml_model": 5001, "tracking": 5002, "monitoring": 5003, "simulator": 5004}
SPECIES = ("setosa", "versicolor", "virginica")


def commands(suite: RunningSuite) -> str:
    """Return all the page's commands, to this suite and with an end at the first that fails."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 5
    script = "set -euo pipefail\n" + "\n".join(blocks)
    script = script.replace("curl -sS", "curl -sS --fail-with-body")
    for service, port in PORT_OF.items():
        own = urlsplit(suite.urls[service]).port
        script = re.sub(rf"(?<=127\.0\.0\.1:){port}\b|(?<=post ){port}\b", str(own), script)
    return script


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the irises as `flowers.csv`, with a gap, in the shape the page names."""
    lines = resources.files("sklearn.datasets.data").joinpath("iris.csv").read_text().splitlines()
    records = [line.split(",") for line in lines[1:]]
    records[3][1] = ""
    text = "sepal length,sepal width,petal length,petal width,species\n"
    text += "".join(f"{','.join(row[:4])},{SPECIES[int(row[4])]}\n" for row in records)
    (tmp_path / "flowers.csv").write_text(text, encoding="utf-8")
    return tmp_path


def test_its_commands_work_as_pasted(suite: RunningSuite, folder: Path) -> None:
    # Another test may have left a second model that answers a share.
    suite.call("POST", "ml_model", "/set-canary-probability", json={"probability": 1.0})
    done = subprocess.run(
        ["bash", "-c", commands(suite)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr)
    assert "succeeded\nNone\n{'" in done.stdout
    assert "Score on testing set" in done.stdout
    assert re.search(r'"prediction_names": ?\["setosa"\]', done.stdout), done.stdout[-3000:]
    said = done.stdout.rsplit("Score on production set", 1)[1]
    assert "\nTrue\n[" in said

"""The service at rest has none of what only some of its work needs: it costs memory in each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3] / "services"


@pytest.mark.parametrize("package", ["mlflow", "skops", "onnxruntime", "skl2onnx", "alembic"])
def test_wiring_the_service_does_not_import(package: str, imported: set[str]) -> None:
    assert package not in imported


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules that are there when the application is wired."""
    code = "import sys, ml_model.app; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SERVICES)}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return set(shown.stdout.split())

"""The programs that run jobs stay small: what they import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[3] / "services"


@pytest.mark.parametrize("program", ["ml_model.jobs", "tracking.jobs"])
def test_it_imports_nothing_that_works_on_jobs(program: str) -> None:
    heavy = ("sklearn", "mlflow", "pandas", "numpy", "onnxruntime", "requests")
    code = f"import sys, {program}.__main__; print([m for m in {heavy} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(SERVICES)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

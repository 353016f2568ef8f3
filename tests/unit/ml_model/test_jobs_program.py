"""The program that runs jobs stays small: what it imports."""

import os
import subprocess
import sys
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"


def test_it_imports_nothing_that_trains() -> None:
    heavy = ("sklearn", "mlflow", "pandas", "numpy", "onnxruntime", "requests")
    code = f"import sys, ml_model.jobs.__main__; print([m for m in {heavy} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(SERVICES)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

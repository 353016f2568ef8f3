"""A service that only scores never pays for MLflow."""

import os
import subprocess
import sys
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"


def test_wiring_the_service_imports_no_mlflow() -> None:
    code = "import sys, ml_model.app; sys.exit('mlflow' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SERVICES)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0

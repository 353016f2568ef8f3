"""The service at rest has none of what only some requests need: it costs memory in each worker."""

import os
import subprocess
import sys
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"


def test_wiring_the_service_imports_no_library_of_few_requests() -> None:
    code = "import sys, simulator.app; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(SERVICES)}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert not {"duckdb", "sklearn", "scipy"} & set(shown.stdout.split())

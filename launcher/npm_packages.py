"""The npm packages in `tests/tools`, for the tests alone: installed when they have changed."""

import json
import subprocess
from pathlib import Path
from typing import Any

from launcher.errors import LaunchError
from launcher.places import ROOT
from launcher.terminal import step

FOLDER = ROOT / "tests" / "tools"


def npm_packages_are_there(folder: Path = FOLDER) -> bool:
    """Tell whether what `package-lock.json` names is installed, by npm's own account."""
    account = folder / "node_modules" / ".package-lock.json"
    if not account.exists():
        return False
    installed = _packages(account)
    return all(
        installed.get(name, {}).get("version") == package["version"]
        for name, package in _packages(folder / "package-lock.json").items()
        # The first, without a name, is the folder itself.
        if name and not package.get("optional")
    )


def install_npm_packages(folder: Path = FOLDER) -> None:
    """Install them.

    Raises
    ------
    LaunchError
        One could not be had.
    """
    with step("Installing the npm packages of tests/tools"):
        done = subprocess.run(  # noqa: S603 - our own command line
            ["npm", "ci", "--prefix", str(folder), "--no-audit", "--no-fund"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LaunchError(
                "The npm packages of tests/tools could not be installed.",
                "Is npm's registry reachable? By hand: npm ci --prefix tests/tools",
                done.stderr.strip()[-3000:],
            )


def _packages(lock: Path) -> dict[str, dict[str, Any]]:
    return dict(json.loads(lock.read_text(encoding="utf-8"))["packages"])

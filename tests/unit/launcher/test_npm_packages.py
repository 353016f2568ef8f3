"""The npm packages of the tests: when they count as installed, and what npm's refusal becomes."""

import json
import subprocess
from pathlib import Path

import pytest

from launcher.errors import LaunchError
from launcher.npm_packages import FOLDER, install_npm_packages, npm_packages_are_there


def write_lock(path: Path, **versions: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    packages = {f"node_modules/{name}": {"version": version} for name, version in versions.items()}
    path.write_text(json.dumps({"packages": {"": {"name": "tools"}, **packages}}))


def test_they_are_there_when_npm_has_noted_each_in_its_version(tmp_path: Path) -> None:
    account = tmp_path / "node_modules" / ".package-lock.json"
    write_lock(tmp_path / "package-lock.json", newman="6.2.2", axe="4.14.1")
    assert not npm_packages_are_there(tmp_path)

    write_lock(account, newman="6.2.2")
    assert not npm_packages_are_there(tmp_path)

    write_lock(account, newman="6.2.2", axe="4.0.0")
    assert not npm_packages_are_there(tmp_path)

    write_lock(account, newman="6.2.2", axe="4.14.1")
    assert npm_packages_are_there(tmp_path)


def test_what_is_optional_may_be_missing(tmp_path: Path) -> None:
    packages = {"": {}, "node_modules/colors": {"version": "1.5.0", "optional": True}}
    (tmp_path / "package-lock.json").write_text(json.dumps({"packages": packages}))
    write_lock(tmp_path / "node_modules" / ".package-lock.json")

    assert npm_packages_are_there(tmp_path)


def test_what_npm_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = subprocess.CompletedProcess([], 1, stdout="", stderr="npm error code E404")
    monkeypatch.setattr(subprocess, "run", lambda *_arguments, **_options: refusal)

    with pytest.raises(LaunchError) as raised:
        install_npm_packages()
    assert raised.value.detail == "npm error code E404"


def test_the_lock_names_no_host_and_every_version_exactly() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    wanted = json.loads((FOLDER / "package.json").read_text())["devDependencies"]

    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert {name: lock["packages"][f"node_modules/{name}"]["version"] for name in wanted} == wanted

"""The change log knows the version that the services answer."""

from pathlib import Path

from servicekit.version import VERSION


def test_the_version_has_an_entry(root: Path) -> None:
    assert f"## {VERSION}" in (root / "CHANGELOG.md").read_text()

"""docs/api.md names every route of every service, and none that is not there."""

import re
from pathlib import Path

import pytest

HEADINGS = {
    "Simulator": "simulator",
    "ML model": "ml_model",
    "Tracking": "tracking",
    "Monitoring": "monitoring",
}
EVERY_SERVICE = "Every service"
ROUTE = re.compile(r"^#{3,4} `(GET|POST|PUT|PATCH|DELETE) (/\S*)`", re.MULTILINE)


@pytest.fixture(scope="module")
def documented(root: Path) -> set[tuple[str, str, str]]:
    """Every (service, method, path) that has a heading; shared routes count for each service."""
    text = (root / "docs/api.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    found = set()
    for section in sections:
        title = section.partition("\n")[0].partition(" (")[0].strip()
        names = list(HEADINGS.values()) if title == EVERY_SERVICE else [HEADINGS.get(title, "")]
        for method, path in ROUTE.findall(section):
            assert names != [""], f"'{title}' is no service, yet it documents {method} {path}"
            found |= {(name, method, path) for name in names}
    return found


def test_every_route_is_documented(
    documented: set[tuple[str, str, str]], routes: set[tuple[str, str, str]]
) -> None:
    assert sorted(routes - documented) == []


def test_no_route_is_documented_that_does_not_exist(
    documented: set[tuple[str, str, str]], routes: set[tuple[str, str, str]]
) -> None:
    assert sorted(documented - routes) == []

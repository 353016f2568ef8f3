"""docs/database.md shows the tables as they are."""

import re
from pathlib import Path

import pytest

from schema.tables import Base


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs/database.md").read_text()


def test_every_table_is_described(page: str) -> None:
    headings = set(re.findall(r"^### `(\w+)`", page, re.MULTILINE))
    assert set(Base.metadata.tables) == headings


def test_every_column_is_described_and_none_is_invented(page: str) -> None:
    differences = []
    for name, table in Base.metadata.tables.items():
        section = page.split(f"### `{name}`", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]
        described = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        actual = {column.name for column in table.columns}
        differences += [f"{name}.{column}" for column in sorted(described ^ actual)]
    assert differences == []


def test_the_diagram_shows_every_table_and_every_reference(page: str) -> None:
    diagram = page.split("```mermaid", 1)[1].split("```", 1)[0]
    drawn = set(re.findall(r"^ +(\w+) \S+--\S+ (\w+) :", diagram, re.MULTILINE))
    references = {
        (key.column.table.name, name)
        for name, table in Base.metadata.tables.items()
        for key in table.foreign_keys
    }
    assert references <= drawn
    assert all(re.search(rf"^ +{name}\b", diagram, re.MULTILINE) for name in Base.metadata.tables)

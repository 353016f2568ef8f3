"""Every setting is documented, with the default and the meaning that the code gives it."""

import re
from collections.abc import Mapping
from pathlib import Path

from servicekit.settings import PREFIX, ServiceSettings
from tests.docs.settings_tables import render


def test_the_tables_are_those_of_the_settings_classes(root: Path) -> None:
    page = (root / "docs/settings.md").read_text()
    assert render(page) == page, (
        "Renew the tables: PYTHONPATH=services python tests/docs/settings_tables.py"
    )


def test_every_setting_has_a_meaning(
    settings_classes: Mapping[str, type[ServiceSettings]],
) -> None:
    without = [
        f"{service}: {name}"
        for service, settings_class in settings_classes.items()
        for name, field in settings_class.model_fields.items()
        if not field.description
    ]
    assert without == []


def test_a_services_own_settings_stand_in_its_readme(
    root: Path, settings_classes: Mapping[str, type[ServiceSettings]]
) -> None:
    missing = []
    for service, settings_class in settings_classes.items():
        readme = (root / "services" / service / "README.md").read_text()
        own = set(settings_class.model_fields) - set(ServiceSettings.model_fields)
        missing += [
            f"{service}: {PREFIX}{name.upper()}"
            for name in own
            if f"{PREFIX}{name.upper()}" not in readme
        ]
    assert sorted(missing) == []


def example_variables(root: Path) -> set[str]:
    """Every variable of .env.example, those in comments (`# NAME=value`) too."""
    text = (root / ".env.example").read_text()
    return set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


def test_every_variable_of_the_containers_stands_in_the_example(root: Path) -> None:
    compose = (root / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{([A-Z][A-Z0-9_]+)", compose))
    assert sorted(used - example_variables(root)) == []


def test_every_variable_of_the_example_is_documented(root: Path) -> None:
    page = (root / "docs/settings.md").read_text()
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", page))
    assert sorted(example_variables(root) - documented) == []

"""The tables of docs/settings.md, made from the settings classes.

Run it after a change of settings: `PYTHONPATH=services python tests/docs/settings_tables.py`.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from servicekit.settings import PREFIX, ServiceSettings

SETTINGS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
SERVICES = ("simulator", "ml_model", "tracking", "monitoring")


def render(page: str) -> str:
    """Return the page with each table between its markers renewed."""
    for name, fields in _groups().items():
        table = _table(fields)
        page, count = re.subn(
            rf"(<!-- settings: {name} -->\n).*?(<!-- end -->)",
            lambda found, table=table: f"{found[1]}{table}{found[2]}",  # type: ignore[misc]
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"docs/settings.md needs one table marked 'settings: {name}'.")
    return page


def _groups() -> Mapping[str, Mapping[str, Any]]:
    """Return the shared fields as `shared`, and what each service adds or changes by its name."""
    groups: dict[str, Mapping[str, Any]] = {"shared": ServiceSettings.model_fields}
    for name in SERVICES:
        fields = import_module(f"{name}.settings").Settings.model_fields
        groups[name] = {
            key: field
            for key, field in fields.items()
            if key not in ServiceSettings.model_fields
            or _default(field) != _default(ServiceSettings.model_fields[key])
        }
    return groups


def _table(fields: Mapping[str, Any]) -> str:
    if not fields:
        return "None of its own.\n"
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{PREFIX}{name.upper()}` | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "empty" if value in ("", None) else f"`{value}`"


if __name__ == "__main__":
    SETTINGS_PAGE.write_text(render(SETTINGS_PAGE.read_text()))

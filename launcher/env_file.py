"""`.env`: read as docker compose reads it, and written on the first start."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from launcher.errors import LaunchError

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")
_SECRET = re.compile(r"^(\w*PASSWORD)=$", re.MULTILINE)


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of `path`; quotes around a value and ` # comments` after it are dropped.

    Raises
    ------
    LaunchError
        A line is neither `NAME=value` nor a comment.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise LaunchError(
                f"Line {number} of {path} is not NAME=value.", "Put it right, or a # before it."
            )
        values[found[1]] = _unquoted(found[2])
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return re.sub(r"(^|\s)#.*$", "", value).strip()


def ensure_env_file(path: Path, example: Path, changes: Mapping[str, str] | None = None) -> bool:
    """Write `path` from `example` with passwords of our own unless it is there; tell whether.

    Only its owner may read it. `changes` replace the example's values.
    """
    if path.exists():
        return False
    text = _SECRET.sub(
        lambda found: f"{found[1]}={secrets.token_hex(20)}", example.read_text(encoding="utf-8")
    )
    for name, value in (changes or {}).items():
        text, hits = re.subn(rf"^#? ?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        if not hits:
            raise LaunchError(f"{example.name} has no variable {name}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return True

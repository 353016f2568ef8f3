"""`.env` as the launcher reads and writes it."""

import re
import stat
from pathlib import Path

import pytest

from launcher.env_file import ensure_env_file, read_env_file
from launcher.errors import LaunchError

EXAMPLE = """\
# Comment
BIND_ADDRESS=127.0.0.1
POSTGRES_PASSWORD=
CELLAR_TRACKING_DATABASE_PASSWORD=
# CELLAR_WORKERS=2
"""


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / ".env.example"
    path.write_text(EXAMPLE)
    return path


def test_every_password_is_made_and_differs(tmp_path: Path, example: Path) -> None:
    assert ensure_env_file(tmp_path / ".env", example)

    values = read_env_file(tmp_path / ".env")

    passwords = {values["POSTGRES_PASSWORD"], values["CELLAR_TRACKING_DATABASE_PASSWORD"]}
    assert len(passwords) == 2
    assert all(re.fullmatch(r"[0-9a-f]{40}", password) for password in passwords)
    assert values["BIND_ADDRESS"] == "127.0.0.1"


def test_nobody_else_may_read_it(tmp_path: Path, example: Path) -> None:
    ensure_env_file(tmp_path / ".env", example)

    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_an_existing_one_stays_as_it_is(tmp_path: Path, example: Path) -> None:
    (tmp_path / ".env").write_text("MINE=1\n")

    assert not ensure_env_file(tmp_path / ".env", example)
    assert (tmp_path / ".env").read_text() == "MINE=1\n"


def test_changes_replace_values_and_commented_defaults(tmp_path: Path, example: Path) -> None:
    changes = {"BIND_ADDRESS": "0.0.0.0", "CELLAR_WORKERS": "1"}  # noqa: S104 - not bound to
    ensure_env_file(tmp_path / ".env", example, changes)

    values = read_env_file(tmp_path / ".env")
    assert {name: values[name] for name in changes} == changes


def test_a_change_of_an_unknown_variable_leaves_nothing(tmp_path: Path, example: Path) -> None:
    with pytest.raises(LaunchError, match="NO_SUCH_PORT"):
        ensure_env_file(tmp_path / ".env", example, {"NO_SUCH_PORT": "1"})
    assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize(
    "line, value",
    [
        ("A=b", "b"),
        ("  A = b  ", "b"),
        ("export A=b", "b"),
        ("A='b # c'", "b # c"),
        ('A="b c"', "b c"),
        ("A=b # c", "b"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A=b=c", "b=c"),
    ],
)
def test_lines_are_read_as_compose_reads_them(tmp_path: Path, line: str, value: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"# first\n\n{line}\n")

    assert read_env_file(path) == {"A": value}


def test_a_broken_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1\nnot a setting\n")

    with pytest.raises(LaunchError, match="Line 2"):
        read_env_file(path)

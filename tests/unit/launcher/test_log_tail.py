"""The ends of log files."""

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

from launcher.log_tail import last_lines, print_logs


class _Stopped(Exception):
    """Ends an endless following."""


class _Page(io.StringIO):
    """Collects what is printed; ends the follower when it has seen `last`."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self._last = last

    def flush(self) -> None:
        if self._last in self.getvalue():
            raise _Stopped


def test_the_last_lines_in_order(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))

    assert last_lines(log, 2) == ["line 98", "line 99"]
    assert last_lines(log, 1000)[0] == "line 0"


def test_a_huge_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 10_000_000 + b"\nlast\n")

    assert last_lines(log, 1) == ["last"]


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log", 5) == []


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"a\xff\n")

    assert last_lines(log, 1) == ["a\N{REPLACEMENT CHARACTER}"]


def test_every_line_carries_its_programs_name(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("one\n")
    (tmp_path / "b.log").write_text("two\n")
    page = io.StringIO()

    logs = {name: tmp_path / f"{name}.log" for name in ("a", "b")}
    print_logs(logs, page, lines=5, follow=False)

    assert [line.split() for line in page.getvalue().splitlines()] == [
        ["a", "|", "one"],
        ["b", "|", "two"],
    ]


def _followed(log: Path, change: Callable[[], None], last: str) -> str:
    page = _Page(last)
    writer = threading.Timer(0.3, change)
    writer.start()
    began = time.monotonic()
    try:
        print_logs({"a": log}, page, lines=0, follow=True)
    except _Stopped:
        assert time.monotonic() - began < 30
    finally:
        writer.join()
    return page.getvalue()


def test_what_is_added_is_shown_whole_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")

    def add() -> None:
        with log.open("a") as file:
            file.write("half ")
            file.flush()
            time.sleep(0.5)
            file.write("a line\n")

    shown = _followed(log, add, "a line")
    assert "half a line" in shown
    assert "old" not in shown


def test_a_new_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("a long first file\n" * 10)

    assert "fresh" in _followed(log, lambda: (log.write_text("fresh\n"), None)[1], "fresh")

"""The log files of the local programs, as a person wants to see them."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

POLL_S = 0.2
READ_BACK_BYTES = 256 * 1024


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last `count` lines of a file, none when it is not there."""
    if count <= 0 or not path.exists():
        return []
    with path.open("rb") as log:
        log.seek(0, 2)
        log.seek(max(0, log.tell() - READ_BACK_BYTES))
        return log.read().decode(errors="replace").splitlines()[-count:]


def print_logs(logs: Mapping[str, Path], out: TextIO, *, lines: int, follow: bool) -> None:
    """Write the ends of the logs, each line after its program's name, and go on when `follow`."""
    positions = {name: path.stat().st_size if path.exists() else 0 for name, path in logs.items()}
    for name, path in logs.items():
        _write(name, last_lines(path, lines), out)
    while follow:
        for name, path in logs.items():
            size = path.stat().st_size if path.exists() else 0
            if size < positions[name]:
                # The supervisor has begun a new file.
                positions[name] = 0
            if size > positions[name]:
                with path.open("rb") as log:
                    log.seek(positions[name])
                    fresh = log.read()
                # A line that is still being written is shown when it is whole.
                whole = fresh[: fresh.rfind(b"\n") + 1]
                positions[name] += len(whole)
                _write(name, whole.decode(errors="replace").splitlines(), out)
        time.sleep(POLL_S)


def _write(name: str, lines: Iterable[str], out: TextIO) -> None:
    for line in lines:
        out.write(f"{name:<10} | {line}\n")
    out.flush()

"""Folders for files that are needed while a request is answered, and gone afterwards.

A process that is killed leaves its folder behind. Each is locked while its process lives, so that
others can tell, and remove it.
"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

PREFIX = "cellar-files-"


@contextmanager
def working_folder(parent: Path | None) -> Iterator[Path]:
    """Give an empty folder below `parent`; the system's for temporary files if None."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Somebody may have taken it for abandoned before it was locked.
        if folder.is_dir():
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned(parent: Path | None) -> None:
    """Remove the folders below `parent` whose processes have ended, and those of nobody else."""
    for folder in Path(parent or tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Another one may be removing it as well, or it belongs to another user.
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                log.info("Removed %s, which a process that was killed had left", folder)
            finally:
                os.close(lock)

"""Folders of a request: gone with it, and removed by others only when its process is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from servicekit.working_folder import remove_abandoned, working_folder

HELD = """
import sys, time
from pathlib import Path
from servicekit.working_folder import working_folder
with working_folder(Path(sys.argv[1])) as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_folder_is_gone_afterwards_and_nobody_else_removes_it(tmp_path: Path) -> None:
    with working_folder(tmp_path) as folder:
        (folder / "file").write_text("x")
        remove_abandoned(tmp_path)
        assert (folder / "file").read_text() == "x"
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    with working_folder(tmp_path / "..") as elsewhere:
        (tmp_path / "cellar-files-link").symlink_to(elsewhere)
        (tmp_path / "cellar-files").mkdir()
        (tmp_path / "mine").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", HELD, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None
        with process, process.stdout:
            folder = Path(process.stdout.readline().strip())
            remove_abandoned(tmp_path)
            assert (folder / "file").is_file()
            process.send_signal(signal.SIGKILL)
        remove_abandoned(tmp_path)
        assert not folder.exists() and elsewhere.is_dir()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"cellar-files-link", "cellar-files", "mine"}


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    remove_abandoned(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []

"""Ending processes that may end by themselves meanwhile."""

import subprocess
import sys

import psutil

from launcher.local_suite import end_processes

LASTING = "import time; print(flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LASTING}"


def begin(code: str) -> psutil.Popen:
    process = psutil.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_one_that_is_gone_keeps_no_other_from_ending() -> None:
    with begin("") as gone, begin(LASTING) as lasting:
        known = psutil.Process(gone.pid)
        gone.wait(30)

        end_processes([known, lasting])

        assert not lasting.is_running()


def test_one_that_does_not_listen_is_killed() -> None:
    with begin(STUBBORN) as stubborn:
        end_processes([stubborn], patience_s=0.2)

        assert stubborn.wait(30) == -9

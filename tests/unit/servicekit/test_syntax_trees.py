"""Two threads that build syntax trees at the same time, in a process of its own."""

import os
import subprocess
import sys

import pytest

from servicekit.syntax_trees import has_shared_depth

TWO_THREADS = """
import ast, gc, random, sys, threading, time

from servicekit.syntax_trees import make_parsing_thread_safe

class Closing:
    def __del__(self):
        time.sleep(0.0005)  # lets the other thread run, as closing a connection would

HEAD = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"
LONG = "[" + ",".join([HEAD] * 50) + "]"
problems, done = [], threading.Event()

def parse(text):
    try:
        ast.parse(text)
    except SystemError as error:
        problems.append(str(error))

def parse_heads():
    while not done.is_set():
        parse(HEAD)

def parse_long(frames=10):
    if frames:
        return parse_long(frames - 1)
    for _ in range(100):
        gc.disable()
        for _ in range(3):
            closing = Closing()
            closing.itself = closing
            del closing
        gc.set_threshold(random.randint(10, 600))
        gc.enable()
        parse(LONG)

if sys.argv[1] == "safe":
    make_parsing_thread_safe()
    make_parsing_thread_safe()
threads = [threading.Thread(target=parse_heads), threading.Thread(target=parse_long)]
for thread in threads:
    thread.start()
threads[1].join()
done.set()
threads[0].join()
assert gc.isenabled()
print(len(problems), *problems[:1])
"""


def problems_of(how: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", TWO_THREADS, how],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


def test_threads_may_parse_at_the_same_time() -> None:
    assert problems_of("safe") == "0"


@pytest.mark.skipif(
    not has_shared_depth(sys.version_info[:3]), reason="this release of CPython has it right"
)
def test_without_care_they_may_not() -> None:
    assert "recursion depth mismatch" in problems_of("as it is")


@pytest.mark.parametrize(
    ("version", "shared"),
    [
        ((3, 11, 0), True),
        ((3, 11, 7), True),
        ((3, 11, 8), False),
        ((3, 12, 1), True),
        ((3, 12, 2), False),
        ((3, 13, 0), False),
    ],
)
def test_releases_that_count_for_all_threads(version: tuple[int, ...], shared: bool) -> None:
    assert has_shared_depth(version) is shared

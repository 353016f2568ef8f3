"""`ast.parse` for threads, where CPython has it for one thread only.

Before 3.11.8, and in 3.12 before 3.12.2, CPython counts the depth of the tree it builds in one
place for the whole interpreter (github.com/python/cpython/issues/106905). A garbage collection in
the middle may run Python code and so let another thread build a tree; the first then fails with
`SystemError: AST constructor recursion depth mismatch`. NumPy reads the head of every stored array
by way of `ast.parse`, and 3.11 the lines of every traceback, so of several requests that store or
load a model at the same time one failed now and then.
"""

import ast
import functools
import gc
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

_parse: Callable[..., Any] = ast.parse
_one_at_a_time = threading.RLock()


def make_parsing_thread_safe() -> None:
    """Let threads call `ast.parse` at the same time; to be called before there are any.

    Does nothing where CPython has the mistake no more, or where it has been called before.
    """
    if not has_shared_depth(sys.version_info[:3]) or ast.parse is _parse_alone:
        return
    ast.parse = _parse_alone
    # A child of a thread that forks must not inherit another thread's lock.
    os.register_at_fork(
        before=_one_at_a_time.acquire,
        after_in_parent=_one_at_a_time.release,
        after_in_child=_one_at_a_time.release,
    )


def has_shared_depth(version: tuple[int, ...]) -> bool:
    """Tell whether a release of CPython, 3.11 or later, counts the depth for all threads."""
    return version < (3, 11, 8) or (3, 12) <= version < (3, 12, 2)


@functools.wraps(_parse)
def _parse_alone(*arguments: Any, **options: Any) -> Any:
    with _one_at_a_time:
        # Without a collection no other code runs inside, not even of this thread.
        collects = gc.isenabled()
        gc.disable()
        try:
            return _parse(*arguments, **options)
        finally:
            if collects:
                gc.enable()

"""Items made ahead: in order, by one thread, and none when nobody asks any more."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from simulator.read_ahead import read_ahead


def test_the_next_item_is_made_while_one_is_worked_on() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    for number in read_ahead(items()):
        assert made[min(number + 1, 3)].wait(10)
        assert not any(event.is_set() for event in made[number + 2 :])


def test_what_raises_there_raises_here() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("lost")

    found = read_ahead(items())
    assert next(found) == 1
    with pytest.raises(LookupError, match="lost"):
        next(found)


def test_closing_waits_and_makes_no_more() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    with closing(read_ahead(items())) as found:
        assert next(found) == 0
    assert made == [0, 1]
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]

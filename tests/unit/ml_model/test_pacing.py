"""Figures that take long are looked up seldom."""

import pytest

from ml_model.pacing import Paced


class Bench:
    """A clock and a figure that takes `took_s` to find."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.took_s = 0.0
        self.found = 0

    def find(self) -> int:
        self.now_s += self.took_s
        self.found += 1
        return self.found


def test_what_is_quick_is_looked_up_every_time() -> None:
    bench = Bench()
    bench.took_s = 0.09
    paced = Paced[int](lambda: bench.now_s)
    assert [paced.get(bench.find) for _ in range(3)] == [1, 2, 3]


def test_what_takes_long_takes_a_twentieth_of_the_time() -> None:
    bench = Bench()
    bench.took_s = 1.0
    paced = Paced[int](lambda: bench.now_s)
    assert paced.get(bench.find) == 1
    bench.now_s += 18.9
    assert paced.get(bench.find) == 1
    bench.now_s += 0.2
    assert paced.get(bench.find) == 2


def test_a_failure_is_not_kept() -> None:
    bench = Bench()
    paced = Paced[int](lambda: bench.now_s)

    def fail() -> int:
        bench.now_s += 5
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        paced.get(fail)
    assert paced.get(bench.find) == 1

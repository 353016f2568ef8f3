"""What a search may try: lists of values and distributions, as they came in the JSON request."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid, ParameterSampler

Values = dict[str, Any]
Space = Mapping[str, Sequence[Any] | Mapping[str, Any]]


@dataclass(frozen=True)
class Distribution:
    """Numbers from `low` to `high`, both included.

    Parameters
    ----------
    log : as likely between 0.1 and 1 as between 1 and 10.
    step : only low, low + step, low + 2 step ...
    whole : whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Distribution":
        """Return one from its JSON, which the contract has checked."""
        ends_are_whole = isinstance(given["low"], int) and isinstance(given["high"], int)
        kind = given.get("type") or ("int" if ends_are_whole else "float")
        return cls(
            given["low"],
            given["high"],
            bool(given.get("log")),
            given.get("step"),
            whole=kind == "int",
        )

    @property
    def ends(self) -> list[int | float]:
        """The least and the largest value."""
        return [self._number(self.low), self._number(self.high)]

    def rvs(self, random_state: np.random.RandomState) -> int | float:
        """Draw one; the name is that of SciPy's distributions, which scikit-learn draws by."""
        if self.step is not None or (self.whole and not self.log):
            step = self.step or 1
            steps = math.floor((self.high - self.low) / step + 1e-9)
            return self._number(self.low + step * int(random_state.randint(steps + 1)))
        if not self.log:
            return self._number(random_state.uniform(self.low, self.high))
        power = random_state.uniform(math.log(self.low), math.log(self.high))
        return self._number(min(max(math.exp(power), self.low), self.high))

    def _number(self, value: float) -> int | float:
        return round(value) if self.whole else float(value)


def distributions(space: Space) -> list[str]:
    """Return the names that have a distribution instead of a list."""
    return [name for name, choices in space.items() if isinstance(choices, Mapping)]


def candidate_count(space: Space) -> int | None:
    """Return how many candidates there are; an empty space has one, the defaults.

    None where a distribution makes them too many to count.
    """
    if distributions(space):
        return None
    return math.prod(len(choices) for choices in space.values())


def ends(space: Space) -> dict[str, Sequence[Any]]:
    """Return the values of lists, and the ends of distributions."""
    return {
        name: Distribution.from_json(choices).ends if isinstance(choices, Mapping) else choices
        for name, choices in space.items()
    }


def all_candidates(space: Space) -> list[Values]:
    """Return every candidate of lists in the order of scikit-learn's grid search."""
    places = ParameterGrid({name: list(range(len(choices))) for name, choices in space.items()})
    return [_at(space, item) for item in places]


def drawn_candidates(space: Space, count: int, seed: int) -> list[Values]:
    """Return `count` candidates drawn at random, the same for the same seed.

    Of lists alone none is drawn twice, and there may be fewer than `count` in all.
    """
    total = candidate_count(space)
    if total is not None and total <= count:
        return all_candidates(space)
    choices = {
        name: Distribution.from_json(given) if isinstance(given, Mapping) else range(len(given))
        for name, given in space.items()
    }
    drawn = ParameterSampler(
        {name: item if hasattr(item, "rvs") else list(item) for name, item in choices.items()},
        count,
        random_state=seed,
    )
    return [_at(space, item) for item in drawn]


def _at(space: Space, places: Mapping[str, Any]) -> Values:
    """Return a candidate from places in lists and drawn numbers, in the JSON's own types."""
    found = {}
    for name, place in places.items():
        choices = space[name]
        found[name] = place if isinstance(choices, Mapping) else choices[place]
    return found

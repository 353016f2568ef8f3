"""How much a version was used, as sums that can be added up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VersionTotal:
    """How much a version was used.

    `requests` and `errors` are those that it was given; `failures` leaves out the errors after
    which another version answered. `latency_ms` is the sum over its answers.
    """

    requests: int = 0
    failures: int = 0
    predictions: int = 0
    errors: int = 0
    shadow_predictions: int = 0
    latency_ms: float = 0.0

    def __add__(self, other: "VersionTotal") -> "VersionTotal":
        return VersionTotal(
            self.requests + other.requests,
            self.failures + other.failures,
            self.predictions + other.predictions,
            self.errors + other.errors,
            self.shadow_predictions + other.shadow_predictions,
            self.latency_ms + other.latency_ms,
        )

    @property
    def answers(self) -> int:
        """Requests that it answered."""
        return self.requests - self.errors

    @property
    def average_latency_ms(self) -> float | None:
        """Over its answers, None before the first."""
        return self.latency_ms / self.answers if self.answers else None

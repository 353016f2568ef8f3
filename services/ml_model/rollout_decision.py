"""What a guarded roll-out does next: numbers in, a decision with its reason out.

Pure: no clock, no SQL. Looked at every second, an ordinary significance test would sooner or later
condemn every good model. The limits on shares (errors, slow answers, disagreement) are therefore
held by a test that may be looked at after every single request: see `evidence_above`.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["advance", "hold", "roll_back", "complete"]

WRONG_ALARM = 0.01
"""Probability at most that a model that keeps to a limit is ever rolled back for it."""

SLOW_SHARE = 0.05
"""What may lie above the 95th percentile."""

QUALITY_Z = 2.576
"""Standard errors that a difference in accuracy must exceed: 99 %, two-sided."""


@dataclass(frozen=True)
class Plan:
    """What a roll-out was asked to do.

    `steps` are rising shares of requests (0 to 1] that `next` answers, one after the other. Limits:
    `max_error_rate` and `max_disagreement` as shares (0 to 1), `max_latency_ratio` of the 95th
    percentile of `next` to that of `current`, `min_accuracy_difference` of `next` less `current`
    (-1 to 1, None: not looked at). A step lasts until `min_requests` were answered by `next`,
    `step_s` seconds have passed and, if `min_labels` is given, each version has that many labels.
    """

    steps: tuple[float, ...]
    min_requests: int
    max_error_rate: float
    max_latency_ratio: float
    max_disagreement: float
    min_accuracy_difference: float | None = None
    min_labels: int | None = None
    step_s: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """What was seen so far.

    Of the running step: `seconds`, `requests` answered or failed by `next`, `errors` among them,
    `answers` among them, `slow_answers` above the limit that the plan draws, `p95_ms` (None before
    the first answer). `current_p95_ms` is None while `current` has too few answers to say. Of the
    whole roll-out: `compared` rows answered by both versions, `disagreements` among them; per
    version the `labels` that arrived and those that it had `right`.
    """

    seconds: float
    requests: int
    errors: int
    answers: int
    slow_answers: int
    p95_ms: float | None
    current_p95_ms: float | None
    compared: int
    disagreements: int
    labels: int
    right: int
    current_labels: int
    current_right: int

    @property
    def error_rate(self) -> float | None:
        """The share of failed requests of `next` in this step."""
        return self.errors / self.requests if self.requests else None

    @property
    def latency_ratio(self) -> float | None:
        """How the 95th percentiles of the latency compare."""
        if self.p95_ms is None or not self.current_p95_ms:
            return None
        return self.p95_ms / self.current_p95_ms

    @property
    def disagreement(self) -> float | None:
        """The share of compared rows in which the versions differ."""
        return self.disagreements / self.compared if self.compared else None

    @property
    def accuracy_difference(self) -> float | None:
        """Accuracy of `next` less that of `current`."""
        if not self.labels or not self.current_labels:
            return None
        return self.right / self.labels - self.current_right / self.current_labels

    def numbers(self) -> dict[str, Any]:
        """Return everything that a decision rests on, as it is stored with it."""
        return {
            **asdict(self),
            "error_rate": self.error_rate,
            "latency_ratio": self.latency_ratio,
            "disagreement": self.disagreement,
            "accuracy_difference": self.accuracy_difference,
        }


@dataclass(frozen=True)
class Decision:
    """What to do and why; the reason of a hold names no number, so that it can be compared."""

    verdict: Verdict
    reason: str


def decide(plan: Plan, step: int, seen: Measurement) -> Decision:
    """Return what to do in step number `step` (from 0) of the plan.

    Rolling back comes first and needs proof; going on needs enough requests and every limit kept
    by the plain figures; in between it holds.
    """
    broken = _broken_limit(plan, seen)
    if broken is not None:
        return Decision("roll_back", broken)
    waiting = _waiting_for(plan, seen) or _in_doubt(plan, seen)
    if waiting is not None:
        return Decision("hold", waiting)
    share, unknown = f"{plan.steps[step]:.4g}", _unknown(plan, seen)
    kept = f"{unknown} Every other limit was kept" if unknown else "Every limit was kept"
    if step + 1 == len(plan.steps):
        return Decision("complete", f"{kept} up to the last share, {share}.")
    return Decision("advance", f"{kept} at the share {share}.")


def slow_limit_ms(plan: Plan, current_p95_ms: float) -> float:
    """Return the latency above which an answer of `next` counts as slow."""
    return plan.max_latency_ratio * current_p95_ms


def evidence_above(hits: int, trials: int, limit: float) -> float:
    """Return how strongly `hits` out of `trials` speak for a share above `limit`.

    It is the likelihood of what was seen, averaged over all shares above the limit, divided by that
    at the limit: a non-negative supermartingale for every share up to the limit. By Ville's
    inequality it ever reaches `1 / a` with probability `a` at most, however often one looks.

    0 without trials; infinite for a hit at a limit of 0; 0 at a limit of 1, which nothing exceeds.
    """
    if trials == 0 or limit >= 1:
        return 0.0
    if limit <= 0:
        return math.inf if hits else 0.0
    # The integral of p^k (1-p)^(n-k) above the limit is a Beta function times a binomial tail.
    log_beta = math.lgamma(hits + 1) + math.lgamma(trials - hits + 1) - math.lgamma(trials + 2)
    log_at_limit = hits * math.log(limit) + (trials - hits) * math.log1p(-limit)
    log_ratio = log_beta + _log_binomial_tail(hits, trials + 1, limit)
    log_ratio -= math.log1p(-limit) + log_at_limit
    return math.exp(min(log_ratio, 700.0))


def accuracy_upper_bound(seen: Measurement) -> float | None:
    """Return the greatest difference in accuracy that the labels allow (99 %); None without any.

    Agresti and Caffo's interval: one label right and one wrong are added to each side, so that few
    labels give a wide interval instead of a certain one.
    """
    if not seen.labels or not seen.current_labels:
        return None
    n, m = seen.labels + 2, seen.current_labels + 2
    p, q = (seen.right + 1) / n, (seen.current_right + 1) / m
    return p - q + QUALITY_Z * math.sqrt(p * (1 - p) / n + q * (1 - q) / m)


def _broken_limit(plan: Plan, seen: Measurement) -> str | None:
    proof = 1 / WRONG_ALARM
    if evidence_above(seen.errors, seen.requests, plan.max_error_rate) >= proof:
        return (
            f"{seen.errors} of {seen.requests} requests failed: more than the limit of"
            f" {plan.max_error_rate:.4g} allows."
        )
    if (
        seen.current_p95_ms is not None
        and evidence_above(seen.slow_answers, seen.answers, SLOW_SHARE) >= proof
    ):
        return (
            f"{seen.slow_answers} of {seen.answers} answers took longer than"
            f" {plan.max_latency_ratio:.4g} times the 95th percentile of current,"
            f" {seen.current_p95_ms:.4g} ms."
        )
    if evidence_above(seen.disagreements, seen.compared, plan.max_disagreement) >= proof:
        return (
            f"The versions differ in {seen.disagreements} of {seen.compared} rows: more than the"
            f" limit of {plan.max_disagreement:.4g} allows."
        )
    bound = accuracy_upper_bound(seen)
    wanted = plan.min_accuracy_difference
    if wanted is not None and bound is not None and bound < wanted:
        return (
            f"By {seen.labels} labels next is right in {seen.right / seen.labels:.4g}, by"
            f" {seen.current_labels} current in {seen.current_right / seen.current_labels:.4g}:"
            f" the difference is below {wanted:.4g}."
        )
    return None


def _waiting_for(plan: Plan, seen: Measurement) -> str | None:
    if seen.requests < plan.min_requests:
        return f"Waiting until next has answered {plan.min_requests} requests in this step."
    if seen.seconds < plan.step_s:
        return f"Waiting until the step has lasted {plan.step_s:.4g} s."
    if plan.min_labels is not None and min(seen.labels, seen.current_labels) < plan.min_labels:
        return f"Waiting until each version has {plan.min_labels} labels."
    return None


def _in_doubt(plan: Plan, seen: Measurement) -> str | None:
    """Name the figure that is above its limit without proof that it is more than chance."""
    if (seen.error_rate or 0.0) > plan.max_error_rate:
        return "The error rate is above its limit, but it may be chance."
    if (seen.latency_ratio or 0.0) > plan.max_latency_ratio:
        return "The latency is above its limit, but it may be chance."
    if (seen.disagreement or 0.0) > plan.max_disagreement:
        return "The disagreement is above its limit, but it may be chance."
    wanted, difference = plan.min_accuracy_difference, seen.accuracy_difference
    if wanted is not None and difference is not None and difference < wanted:
        return "The accuracy is below its limit, but it may be chance."
    return None


def _unknown(plan: Plan, seen: Measurement) -> str:
    """Name the limits that there was nothing to hold against; "" where there are none.

    A roll-out does not wait for them: what `current` is never asked, it never answers.
    """
    found = []
    if seen.latency_ratio is None:
        found.append("the latency, since one of the two has answered too little")
    if seen.disagreement is None and plan.max_disagreement < 1:
        found.append("the disagreement, since no row was answered by both")
    if plan.min_accuracy_difference is not None and seen.accuracy_difference is None:
        found.append("the accuracy, since labels are missing")
    return f"Not looked at: {'; '.join(found)}." if found else ""


def _log_binomial_tail(hits: int, trials: int, share: float) -> float:
    """Return the logarithm of P(X <= hits) for X binomial with `trials` and `share` (0 to 1)."""
    log_odds = math.log(share) - math.log1p(-share)
    log_term = trials * math.log1p(-share)
    log_sum = log_term
    for k in range(1, hits + 1):
        log_term += math.log((trials - k + 1) / k) + log_odds
        high, low = max(log_sum, log_term), min(log_sum, log_term)
        log_sum = high + math.log1p(math.exp(low - high))
    return min(log_sum, 0.0)

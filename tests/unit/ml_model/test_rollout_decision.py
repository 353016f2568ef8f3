"""What a roll-out decides: by hand, by properties, and how often it is wrong by simulation."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from ml_model.rollout_decision import (
    WRONG_ALARM,
    Measurement,
    Plan,
    accuracy_upper_bound,
    decide,
    evidence_above,
)

PLAN = Plan(
    steps=(0.1, 0.5, 1.0),
    min_requests=100,
    max_error_rate=0.01,
    max_latency_ratio=1.5,
    max_disagreement=0.1,
)
GOOD = Measurement(
    seconds=60,
    requests=200,
    errors=0,
    answers=200,
    slow_answers=4,
    p95_ms=11.0,
    current_p95_ms=10.0,
    compared=1_000,
    disagreements=20,
    labels=0,
    right=0,
    current_labels=0,
    current_right=0,
)
NOTHING = Measurement(0, 0, 0, 0, 0, None, None, 0, 0, 0, 0, 0, 0)


def verdict(plan: Plan = PLAN, step: int = 0, **changes: Any) -> tuple[str, str]:
    decision = decide(plan, step, replace(GOOD, **changes))
    return decision.verdict, decision.reason


def test_a_good_model_goes_up_step_by_step() -> None:
    assert [verdict(step=step)[0] for step in range(3)] == ["advance", "advance", "complete"]


def test_nothing_seen_is_waited_for() -> None:
    decision = decide(PLAN, 0, NOTHING)
    assert (decision.verdict, decision.reason) == (
        "hold",
        "Waiting until next has answered 100 requests in this step.",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"errors": 10, "answers": 190}, "10 of 200 requests failed"),
        ({"slow_answers": 40, "p95_ms": 30.0}, "40 of 200 answers took longer"),
        ({"disagreements": 200}, "differ in 200 of 1000 rows"),
    ],
)
def test_a_limit_that_is_surely_broken_ends_it(changes: dict[str, Any], words: str) -> None:
    for step in range(3):
        found, reason = verdict(step=step, **changes)
        assert found == "roll_back"
        assert words in reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"errors": 3, "answers": 197}, "error rate"),
        ({"slow_answers": 12, "p95_ms": 15.5}, "latency"),
        ({"disagreements": 105}, "disagreement"),
    ],
)
def test_a_limit_that_may_be_broken_by_chance_is_waited_on(
    changes: dict[str, Any], words: str
) -> None:
    found, reason = verdict(**changes)
    assert found == "hold"
    assert words in reason and "chance" in reason


def test_a_failing_model_is_taken_back_before_the_fewest_requests() -> None:
    assert verdict(requests=3, errors=3, answers=0, slow_answers=0)[0] == "roll_back"
    assert verdict(requests=1, errors=1, answers=0, slow_answers=0)[0] == "hold"


def test_time_and_labels_are_waited_for_where_they_are_asked_for() -> None:
    assert "61 s" in verdict(replace(PLAN, step_s=61))[1]
    assert verdict(replace(PLAN, step_s=60))[0] == "advance"
    patient = replace(PLAN, min_labels=30)
    assert "30 labels" in verdict(patient, labels=30, right=30, current_labels=29)[1]
    assert verdict(patient, labels=30, right=30, current_labels=30, current_right=30)[0] == (
        "advance"
    )


def test_labels_decide_once_they_are_many() -> None:
    strict = replace(PLAN, min_accuracy_difference=-0.02)
    assert verdict(strict)[0] == "advance"
    few = {"labels": 10, "right": 8, "current_labels": 10, "current_right": 10}
    assert verdict(strict, **few)[0] == "hold"
    many = {key: 100 * value for key, value in few.items()}
    found, reason = verdict(strict, **many)
    assert found == "roll_back" and "right in 0.8" in reason
    assert verdict(PLAN, **many)[0] == "advance"
    better = many | {"right": 1_000, "current_right": 800}
    assert verdict(strict, **better)[0] == "advance"


def test_a_limit_with_nothing_to_hold_against_it_is_named() -> None:
    found, reason = verdict(current_p95_ms=None, p95_ms=900.0, slow_answers=0)
    assert found == "advance"
    assert reason.startswith("Not looked at: the latency, since one of the two")
    found, reason = verdict(replace(PLAN, steps=(1.0,)), compared=0, disagreements=0)
    assert found == "complete"
    assert "the disagreement, since no row was answered by both" in reason
    assert "Every other limit was kept up to the last share, 1." in reason
    assert "the accuracy" in verdict(replace(PLAN, min_accuracy_difference=0.0))[1]
    # Whoever lets the versions differ in every row asks nothing of it.
    assert "Not looked at" not in verdict(replace(PLAN, max_disagreement=1.0), compared=0)[1]


def test_the_numbers_of_a_decision_are_plain_json_values() -> None:
    for seen in (GOOD, NOTHING):
        for value in seen.numbers().values():
            assert value is None or (isinstance(value, int | float) and math.isfinite(value))
    assert GOOD.numbers()["latency_ratio"] == pytest.approx(1.1)
    assert GOOD.numbers()["disagreement"] == pytest.approx(0.02)


class TestEvidence:
    """The likelihood ratio that may be looked at after every request."""

    @pytest.mark.parametrize(
        ("hits", "trials", "limit"), [(0, 5, 0.1), (1, 1, 0.01), (7, 40, 0.05), (300, 1000, 0.2)]
    )
    def test_it_is_the_integral(self, hits: int, trials: int, limit: float) -> None:
        def likelihood_ratio(share: float) -> float:
            odds = hits * math.log(share / limit)
            return math.exp(odds + (trials - hits) * math.log((1 - share) / (1 - limit)))

        peak = max(hits / trials, limit)
        whole, _ = integrate.quad(
            likelihood_ratio, limit, 1 - 1e-12, points=[peak], limit=500, epsabs=0
        )
        assert evidence_above(hits, trials, limit) == pytest.approx(whole / (1 - limit), rel=1e-4)

    @given(trials=st.integers(1, 5_000), share=st.floats(0, 1), limit=st.floats(0.001, 0.999))
    def test_another_hit_never_speaks_for_the_model(
        self, trials: int, share: float, limit: float
    ) -> None:
        hits = int(share * (trials - 1))
        assert evidence_above(hits, trials, limit) <= evidence_above(hits + 1, trials, limit)

    @given(trials=st.integers(0, 100_000), limit=st.floats(0, 1))
    def test_no_hit_is_never_proof(self, trials: int, limit: float) -> None:
        assert evidence_above(0, trials, limit) <= 1

    def test_the_ends_of_the_scale(self) -> None:
        assert evidence_above(0, 0, 0.5) == 0
        assert evidence_above(1, 1, 0.0) == math.inf
        assert evidence_above(0, 9, 0.0) == 0
        assert evidence_above(9, 9, 1.0) == 0
        assert evidence_above(50_000, 100_000, 0.01) > 1e300

    def test_a_model_at_its_limit_is_hardly_ever_condemned_however_often_one_looks(self) -> None:
        generator = np.random.default_rng(7)
        series, looks, limit = 300, 400, 0.05
        condemned = 0
        for _ in range(series):
            hits = np.cumsum(generator.random(looks) < limit)
            condemned += any(
                evidence_above(int(count), number, limit) >= 1 / WRONG_ALARM
                for number, count in enumerate(hits, start=1)
            )
        # At most 1 % by proof: 300 series give 3 on average, and more than 10 once in 3000 runs.
        assert condemned <= 10

    def test_a_bad_model_is_condemned_soon(self) -> None:
        generator = np.random.default_rng(7)
        hits = np.cumsum(generator.random(500) < 0.2)
        needed = next(
            number
            for number, count in enumerate(hits, start=1)
            if evidence_above(int(count), number, 0.05) >= 1 / WRONG_ALARM
        )
        assert needed < 120


counts = st.integers(0, 3_000)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """Anything that a log can say."""
    answers, errors, compared = draw(counts), draw(counts), draw(counts)
    labels, current_labels = draw(counts), draw(counts)
    times = st.none() | st.floats(0.01, 1e4)
    return Measurement(
        seconds=draw(st.floats(0, 1e6)),
        requests=answers + errors,
        errors=errors,
        answers=answers,
        slow_answers=draw(st.integers(0, answers)),
        p95_ms=draw(times) if answers else None,
        current_p95_ms=draw(times),
        compared=compared,
        disagreements=draw(st.integers(0, compared)),
        labels=labels,
        right=draw(st.integers(0, labels)),
        current_labels=current_labels,
        current_right=draw(st.integers(0, current_labels)),
    )


@given(measurements(), st.integers(0, 2))
def test_going_on_keeps_every_limit(seen: Measurement, step: int) -> None:
    plan = replace(PLAN, min_accuracy_difference=-0.1)
    decision = decide(plan, step, seen)
    assert decision.reason.endswith(".")
    if decision.verdict in ("advance", "complete"):
        assert (decision.verdict == "complete") == (step == 2)
        assert seen.requests >= plan.min_requests
        assert (seen.error_rate or 0) <= plan.max_error_rate
        assert (seen.latency_ratio or 0) <= plan.max_latency_ratio
        assert (seen.disagreement or 0) <= plan.max_disagreement
        assert (seen.accuracy_difference or 0) >= -0.1


@given(measurements(), st.integers(0, 2))
def test_a_model_without_a_fault_is_never_taken_back(seen: Measurement, step: int) -> None:
    spotless = replace(
        seen, errors=0, requests=seen.answers, slow_answers=0, disagreements=0, right=seen.labels
    )
    plan = replace(PLAN, min_accuracy_difference=0.0)
    assert decide(plan, step, spotless).verdict != "roll_back"


@given(measurements(), st.integers(0, 2))
def test_the_reason_to_hold_names_nothing_that_was_measured(seen: Measurement, step: int) -> None:
    """It is stored only when it changes, so it must not change with every request."""
    plan = replace(PLAN, min_accuracy_difference=0.0, min_labels=10, step_s=5)
    other = replace(seen, seconds=seen.seconds * 1.001)
    one, two = decide(plan, step, seen), decide(plan, step, other)
    if one.verdict == two.verdict == "hold" and seen.seconds > 5:
        assert one == two


@given(measurements())
def test_the_bound_lies_above_the_difference_or_at_its_end(seen: Measurement) -> None:
    bound, difference = accuracy_upper_bound(seen), seen.accuracy_difference
    assert (bound is None) == (difference is None)
    if bound is not None and difference is not None and difference < 0.9:
        assert bound > difference

"""Which run ranks first."""

from tracking.domain import RunMetrics
from tracking.service.ranking import best_run


def run(name: str, started_ms: int = 0, **metrics: float) -> RunMetrics:
    return RunMetrics(name, name, "SVC", started_ms, 1.0, metrics)


def names(*runs: RunMetrics, by: list[str]) -> set[str | None]:
    """The winner for the runs in both orders: they must agree."""
    winners = (best_run(runs, by), best_run(runs[::-1], by))
    return {winner.id if winner else None for winner in winners}


def test_the_first_metric_decides() -> None:
    a = run("a", model_accuracy=0.9, model_recall=0.1)
    b = run("b", model_accuracy=0.8, model_recall=0.9)
    assert names(a, b, by=["model_accuracy", "model_recall"]) == {"a"}


def test_the_next_metric_breaks_a_tie() -> None:
    a = run("a", model_accuracy=0.9, model_recall=0.1)
    b = run("b", model_accuracy=0.9, model_recall=0.9)
    assert names(a, b, by=["model_accuracy", "model_recall"]) == {"b"}


def test_time_and_processor_use_are_better_when_lower() -> None:
    a, b = run("a", system_execution_time=2.0), run("b", system_execution_time=3.0)
    assert names(a, b, by=["system_execution_time"]) == {"a"}
    a = run("a", model_accuracy=0.9, system_cpu_usage=50.0)
    b = run("b", model_accuracy=0.9, system_cpu_usage=20.0)
    assert names(a, b, by=["model_accuracy", "system_cpu_usage"]) == {"b"}


def test_errors_are_better_when_lower_and_r2_when_higher() -> None:
    good = run("good", model_rmse=50.0, model_r2=0.5)
    bad = run("bad", model_rmse=70.0, model_r2=0.1)
    for metric in ("model_rmse", "model_r2"):
        assert names(good, bad, by=[metric]) == {"good"}


def test_a_run_without_the_tie_breaker_loses_the_tie() -> None:
    a, b = run("a", model_accuracy=0.9), run("b", model_accuracy=0.9, model_recall=0.0)
    assert names(a, b, by=["model_accuracy", "model_recall"]) == {"b"}


def test_what_is_still_equal_goes_to_the_older_run_then_to_the_smaller_id() -> None:
    a, b = run("a", 20, model_accuracy=0.9), run("b", 10, model_accuracy=0.9)
    assert names(a, b, by=["model_accuracy"]) == {"b"}
    a, b = run("a", model_accuracy=0.9), run("b", model_accuracy=0.9)
    assert names(a, b, by=["model_accuracy"]) == {"a"}


def test_a_run_without_the_first_metric_does_not_count() -> None:
    assert names(run("a", model_recall=1.0), by=["model_accuracy"]) == {None}
    assert best_run([], ["model_accuracy"]) is None

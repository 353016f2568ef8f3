"""Which run is the best by given metrics."""

from collections.abc import Iterable, Sequence

from tracking.domain import LOWER_IS_BETTER, RunMetrics


def best_run(runs: Iterable[RunMetrics], metrics: Sequence[str]) -> RunMetrics | None:
    """Return the run that ranks first; None when no run has the first metric.

    The first metric decides, the next ones break ties; a run without one of those loses the tie.
    What is still equal goes to the run that began first, then to the smaller id, so that the
    answer does not depend on the order in which runs are read.
    """
    ranked = [run for run in runs if metrics[0] in run.metrics]
    return min(ranked, key=lambda run: _place(run, metrics), default=None)


def _place(run: RunMetrics, metrics: Sequence[str]) -> tuple[object, ...]:
    return (*(_cost(run, metric) for metric in metrics), run.started_ms, run.id)


def _cost(run: RunMetrics, metric: str) -> float:
    if metric not in run.metrics:
        return float("inf")
    value = run.metrics[metric]
    return value if metric in LOWER_IS_BETTER else -value

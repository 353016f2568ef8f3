"""Where the fits of a search run: in this thread, or on all processors.

See docs/adr/0018-search-strategies.md for when which.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray

from tracking.errors import SearchFailed
from tracking.service.fold_fits import Folds, FoldScores, fit_on_folds

WORTH_PROCESSES_S = 4.0
"""Seconds of work from which on it is shared out: starting processes takes one to three."""

KEPT_IDLE_S = 30
"""How long processes wait for more work before they end and give their memory back."""

Task = tuple[str, Any, Folds]
"""A candidate's key, its unfitted pipeline and its folds."""


def processors() -> int:
    """Return how many processors this process may use."""
    return int(joblib.cpu_count())


class FoldWorkers:
    """Fits candidates on their folds, several at the same time where that is quicker.

    Parameters
    ----------
    scorer : see `tracking.service.scoring`.
    rows, labels : the training set, (n_rows, n_columns) and (n_rows,).
    jobs : candidates at the same time. None: one, until those begun show that the rest takes
        longer than processes take to start; from then on one per processor.
    """

    def __init__(self, scorer: Any, rows: Any, labels: NDArray[Any], jobs: int | None) -> None:
        self._scorer = scorer
        self._rows = rows
        self._labels = labels
        self._jobs = jobs
        self._spent_s = 0.0
        self._fitted = 0
        self.workers_processor_s = 0.0

    def run(
        self, tasks: Sequence[Task], *, go_on: Callable[[], bool], left: int
    ) -> Iterator[tuple[str, FoldScores]]:
        """Yield each candidate's key and scores, in the order in which they finish.

        `go_on` is asked before each candidate is begun, in any thread; once it says no, those begun
        are finished and no more begun. `left` is how many candidates the search may still have
        to fit, these among them.

        Raises
        ------
        SearchFailed
            A process was killed from outside.
        """
        place = 0
        while place < len(tasks) and not self._at_once(left - place):
            if not go_on():
                return
            key, pipeline, folds = tasks[place]
            start_s = time.perf_counter()
            scores = fit_on_folds(pipeline, self._scorer, self._rows, self._labels, folds)
            self._spent_s += time.perf_counter() - start_s
            self._fitted += 1
            place += 1
            yield key, scores
        if place < len(tasks):
            yield from self._in_processes(tasks[place:], go_on)

    def _at_once(self, left: int) -> bool:
        if self._jobs is not None:
            return self._jobs > 1
        if processors() == 1 or not self._fitted:
            return False
        return left * self._spent_s / self._fitted > WORTH_PROCESSES_S

    def _in_processes(
        self, tasks: Sequence[Task], go_on: Callable[[], bool]
    ) -> Iterator[tuple[str, FoldScores]]:
        jobs = self._jobs or processors()
        failure: list[BaseException] = []

        def begun() -> Iterator[Any]:
            # joblib takes these in threads of its own, where an error would be lost.
            for task in split(tasks, jobs):
                try:
                    if not go_on():
                        return
                except BaseException as error:  # noqa: BLE001 - it is raised below
                    failure.append(error)
                    return
                yield joblib.delayed(_fit)(task, self._scorer, self._rows, self._labels)

        with self._backend(jobs):
            parallel = joblib.Parallel(
                # No candidate is begun early, so that a budget means what it says.
                pre_dispatch="n_jobs",
                batch_size=1,
                return_as="generator_unordered",
            )
            parts: dict[str, list[tuple[int, FoldScores]]] = {}
            counts = {key: len(folds) for key, _, folds in tasks}
            try:
                for key, first_fold, scores in parallel(begun()):
                    self.workers_processor_s += scores.processor_s
                    parts.setdefault(key, []).append((first_fold, scores))
                    if sum(len(part.folds) for _, part in parts[key]) == counts[key]:
                        yield key, joined([part for _, part in sorted(parts.pop(key), key=_first)])
            except TerminatedWorkerError as error:
                raise SearchFailed(
                    "A process of the search was killed, most likely for want of memory. Search "
                    "on fewer rows, or let CELLAR_SEARCH_JOBS fit fewer candidates at a time."
                ) from error
        if failure:
            raise failure[0]

    def _backend(self, jobs: int) -> AbstractContextManager[Any]:
        # joblib leaves each process its share of the processors for threads of its own.
        backend: AbstractContextManager[Any] = joblib.parallel_config(
            backend="loky", n_jobs=jobs, idle_worker_timeout=KEPT_IDLE_S
        )
        return backend


def split(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[str, Any, int, Folds]]:
    """Yield the work of tasks: key, pipeline, the number of the first fold and folds.

    A candidate goes out as one where there are many, else fold by fold, so that no process waits
    long for the last ones.
    """
    for key, pipeline, folds in tasks:
        if len(tasks) >= 4 * jobs:
            yield key, pipeline, 0, folds
        else:
            for number, fold in enumerate(folds):
                yield key, pipeline, number, [fold]


def joined(parts: Sequence[FoldScores]) -> FoldScores:
    """Return the scores of one candidate from those of its folds, in their order."""
    if len(parts) == 1:
        return parts[0]
    return FoldScores(
        [fold for part in parts for fold in part.folds],
        sum(part.fit_s * len(part.folds) for part in parts) / sum(len(p.folds) for p in parts),
        sum(part.processor_s for part in parts),
        next((part.reason for part in parts if part.reason), None),
    )


def _first(part: tuple[int, FoldScores]) -> int:
    return part[0]


def _fit(
    task: tuple[str, Any, int, Folds], scorer: Any, rows: Any, labels: NDArray[Any]
) -> tuple[str, int, FoldScores]:
    key, pipeline, first_fold, folds = task
    return key, first_fold, fit_on_folds(pipeline, scorer, rows, labels, folds)

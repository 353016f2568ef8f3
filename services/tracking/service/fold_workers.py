"""Where the fits of a search run: in this thread, on all processors, or on a Dask cluster.

See docs/adr/0018-search-strategies.md for when which.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray

from tracking.errors import ClusterUnavailable, SearchFailed
from tracking.service.fold_fits import Folds, FoldScores, fit_on_folds

WORTH_PROCESSES_S = 4.0
"""Seconds of work from which on it is shared out: starting processes takes one to three."""

KEPT_IDLE_S = 30
"""How long processes wait for more work before they end and give their memory back."""

ANSWER_S = 10
"""How long a cluster may take to answer, and to have a worker."""

Task = tuple[str, Any, Folds]
"""A candidate's key, its unfitted pipeline and its folds."""

PartTask = tuple[str, Any, int, Folds]
"""The same of some of its folds, with the number of the first of them before these."""

Part = tuple[str, int, FoldScores]
"""A candidate's key, the number of the first fold, and the scores from there on."""

KILLED = (
    "A process of the search was killed, most likely for want of memory. Search on fewer rows, or "
    "let CELLAR_SEARCH_JOBS fit fewer candidates at a time."
)


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
    dask_address : of a Dask scheduler, `tcp://host:8786`, on whose workers all is fitted, on as
        many processors as they have; empty: on this machine.

    Close it when the search is over.
    """

    def __init__(
        self,
        scorer: Any,
        rows: Any,
        labels: NDArray[Any],
        jobs: int | None,
        dask_address: str = "",
    ) -> None:
        self._scorer = scorer
        self._rows = rows
        self._labels = labels
        self._jobs = jobs
        self._dask_address = dask_address
        self._cluster: Any = None
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
        ClusterUnavailable
            The Dask cluster does not answer or has no workers.
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
            elsewhere = self._on_cluster if self._dask_address else self._in_processes
            yield from _whole(tasks[place:], elsewhere(tasks[place:], go_on))

    def close(self) -> None:
        """Let the cluster go."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def _at_once(self, left: int) -> bool:
        if self._dask_address:
            return True
        if self._jobs is not None:
            return self._jobs > 1
        if processors() == 1 or not self._fitted:
            return False
        return left * self._spent_s / self._fitted > WORTH_PROCESSES_S

    def _in_processes(self, tasks: Sequence[Task], go_on: Callable[[], bool]) -> Iterator[Part]:
        jobs = self._jobs or processors()
        failure: list[BaseException] = []

        def begun() -> Iterator[Any]:
            # joblib takes these in threads of its own, where an error would be lost.
            try:
                for task in split(tasks, jobs, go_on):
                    yield joblib.delayed(_fit)(task, self._scorer, self._rows, self._labels)
            except Exception as error:  # noqa: BLE001 - it is raised below
                failure.append(error)

        # joblib leaves each process its share of the processors for threads of its own.
        with joblib.parallel_config("loky", n_jobs=jobs, idle_worker_timeout=KEPT_IDLE_S):
            parallel = joblib.Parallel(
                # No candidate is begun early, so that a budget means what it says.
                pre_dispatch="n_jobs",
                batch_size=1,
                return_as="generator_unordered",
            )
            try:
                for part in parallel(begun()):
                    self.workers_processor_s += part[2].processor_s
                    yield part
            except TerminatedWorkerError as error:
                raise SearchFailed(KILLED) from error
        if failure:
            raise failure[0]

    def _on_cluster(self, tasks: Sequence[Task], go_on: Callable[[], bool]) -> Iterator[Part]:
        # Not by joblib's backend: it waits for ever for what a killed worker had.
        import distributed

        cluster = self._connected()
        # A task, not scattered: what a killed worker held of it is then made again.
        shared = cluster.submit(_held, self._scorer, self._rows, self._labels, pure=False)
        slots = sum(cluster.ncores().values())
        waiting = split(tasks, slots, go_on)
        make: Any = distributed.as_completed
        pending = make([], loop=cluster.loop)

        def begin() -> None:
            if (task := next(waiting, None)) is not None:
                pending.add(cluster.submit(_fit_held, task, shared, pure=False))

        for _ in range(slots):
            begin()
        try:
            for future in pending:
                part: Part = future.result()
                begin()
                self.workers_processor_s += part[2].processor_s
                yield part
        except distributed.KilledWorker as error:
            raise SearchFailed(KILLED) from error

    def _connected(self) -> Any:
        """Return a client of the cluster; Dask is imported by the searches that have one."""
        if self._cluster is None:
            import distributed

            try:
                make: Any = distributed.Client
                client = make(self._dask_address, timeout=ANSWER_S, set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise ClusterUnavailable() from error
            self._cluster = client
            try:
                client.wait_for_workers(1, timeout=ANSWER_S)
            except TimeoutError as error:
                raise ClusterUnavailable() from error
        return self._cluster


def _whole(tasks: Sequence[Task], parts: Iterator[Part]) -> Iterator[tuple[str, FoldScores]]:
    """Yield each candidate as soon as all its folds are there."""
    counts = {key: len(folds) for key, _, folds in tasks}
    found: dict[str, dict[int, FoldScores]] = {}
    for key, first_fold, scores in parts:
        own = found.setdefault(key, {})
        own[first_fold] = scores
        if sum(len(part.folds) for part in own.values()) == counts[key]:
            yield key, joined([part for _, part in sorted(found.pop(key).items())])


def split(
    tasks: Sequence[Task], jobs: int, go_on: Callable[[], bool] = lambda: True
) -> Iterator[PartTask]:
    """Yield the work of tasks: key, pipeline, the number of the first fold and folds.

    A candidate goes out as one where there are many, else fold by fold, so that no process waits
    long for the last ones. `go_on` is asked before each candidate, not between its folds.
    """
    for key, pipeline, folds in tasks:
        if not go_on():
            return
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


def _fit(task: PartTask, scorer: Any, rows: Any, labels: NDArray[Any]) -> Part:
    key, pipeline, first_fold, folds = task
    return key, first_fold, fit_on_folds(pipeline, scorer, rows, labels, folds)


def _held(*shared: Any) -> tuple[Any, ...]:
    return shared


def _fit_held(task: PartTask, shared: tuple[Any, ...]) -> Part:
    return _fit(task, *shared)

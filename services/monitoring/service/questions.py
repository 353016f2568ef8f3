"""Answer a monitoring question: from the store where nothing has changed, else by Evidently."""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from contracts.monitoring import (
    TEST_NAMES,
    MonitoringRequest,
    ReportQuestion,
    SummaryQuestion,
    VerdictQuestion,
)
from monitoring.errors import NoTestsChosen, TooManyWindows
from monitoring.evidently_adapter import VERSION, Evaluation, EvidentlyAdapter
from monitoring.repository.results import ResultRepository, StoredResult
from monitoring.repository.scored_sets import ScoredSets, ScoredSetsRepository
from monitoring.service.comparison import Comparison
from monitoring.service.counted_rule import judge_counted, precision, undecided
from monitoring.service.counted_sets import COUNTING_VERSION, CountedSetsReader, Fresh
from monitoring.service.retraining_rule import judge
from monitoring.service.retraining_signals import RetrainingRule
from monitoring.service.sampling import SEED
from monitoring.service.set_statistics import CountedSets, WindowedSet
from monitoring.service.windowed_rule import FEWEST_ROWS, WindowVerdict, first_alarm, judge_windows
from monitoring.service.windows_plot import windows_svg
from servicekit.database import Database

log = logging.getLogger(__name__)

ANSWER_VERSION = 1
"""Raise it when the same question would get another answer; part of the fingerprint."""


@dataclass(frozen=True)
class LongSets:
    """When sets are too long to be read whole, and how much of them Evidently is given then."""

    from_rows: int
    """A set of more rows is counted in the database."""
    sample_rows: int
    """Rows per set that are drawn for Evidently."""

    def are(self, scored: ScoredSets) -> bool:
        """Tell whether one of the two sets is that long."""
        return max(scored.testing.row_count, scored.production.row_count) > self.from_rows


@dataclass(frozen=True)
class Answer:
    """A stored answer and what it is about."""

    stored: StoredResult
    scored: ScoredSets


@dataclass(frozen=True)
class _Material:
    """What of the two sets was read: all rows, or counts and for Evidently a sample.

    `fresh` are counts that are not kept yet.
    """

    counted: CountedSets | None
    fresh: Sequence[Fresh]
    comparison: Comparison | None
    windowed: WindowedSet | None = None


class QuestionService:
    """Report, tests and summary of the scored production set against the scored testing set."""

    def __init__(
        self,
        database: Database,
        scored_sets: ScoredSetsRepository,
        results: ResultRepository,
        evidently: EvidentlyAdapter,
        rule: RetrainingRule,
        counted_sets: CountedSetsReader,
        long_sets: LongSets,
    ) -> None:
        self._database = database
        self._scored_sets = scored_sets
        self._results = results
        self._evidently = evidently
        self._rule = rule
        self._counted_sets = counted_sets
        self._long_sets = long_sets

    def answer(self, request: MonitoringRequest) -> Answer:
        """Answer, and store the answer with its verdict.

        Long sets are judged by what the database counts of all their rows; Evidently is given a
        sample, and the notes say so. What was counted is kept before Evidently begins.

        The same question about unchanged data (sets, model version, rule, Evidently) is read from
        the store. No database connection is held while Evidently works.

        Raises
        ------
        NoTestsChosen
            Every test is switched off.
        TooManyWindows
            The production set is too short for so many.
        ModelNotSet, ModelNotTrained, SetNotLoaded, DatasetNotFound, SetNotScored
            A step of the lifecycle is due first.
        ComparisonImpossible
            Evidently refuses the sets.
        """
        question = _question(request)
        with self._database.transaction():
            self._scored_sets.begin_snapshot()
            scored = self._scored_sets.get(request.dataset_name, request.dataset_version)
            fingerprint = self._fingerprint(question, scored)
            stored = self._results.find(fingerprint)
            if stored is not None:
                return Answer(stored, scored)
            started_s = time.perf_counter()
            material = self._read(question, scored)
        with self._database.transaction():
            self._counted_sets.keep(material.fresh)
        verdict, notes = self._judge(scored, material)
        if material.comparison is None or question["metric"] == "verdict":
            evaluation = Evaluation(_decision(verdict), None, ())
        else:
            evaluation = self._evaluate(question, material.comparison)
        result = evaluation.result
        if question["metric"] == "summary":
            result = {**counts_of(result), **_decision(verdict)}
        if material.windowed is not None:
            windows = judge_windows(material.windowed, self._rule)
            result = {
                **result,
                "windows": [asdict(window) for window in windows],
                "first_alarm": first_alarm(windows),
            }
            notes = [*notes, *_notes_on_windows(scored, question["windows"], windows)]
        log.info("%s computed in %.2f s", question["metric"], time.perf_counter() - started_s)
        with self._database.transaction():
            self._results.add(
                fingerprint,
                question,
                dataset_id=scored.dataset.id,
                model_version_id=scored.model_version_id,
                verdict={**verdict, "notes": [*notes, *evaluation.notes]},
                result=result,
                page=evaluation.page,
            )
            stored = self._results.find(fingerprint)
        if stored is None:
            raise LookupError("A result that was just stored is not there.")
        return Answer(stored, scored)

    def _read(self, question: Mapping[str, Any], scored: ScoredSets) -> "_Material":
        windowed: WindowedSet | None = None
        of_windows: Sequence[Fresh] = ()
        if "windows" in question:
            rows = scored.production.row_count
            if question["windows"] * FEWEST_ROWS > rows:
                raise TooManyWindows(rows, FEWEST_ROWS)
            windowed, of_windows = self._counted_sets.read_windows(scored, question["windows"])
        if not self._long_sets.are(scored):
            return _Material(None, of_windows, self._scored_sets.compare(scored), windowed)
        counted, fresh = self._counted_sets.read(scored)
        comparison = None
        if question["metric"] != "verdict":
            comparison = self._scored_sets.compare(scored, self._long_sets.sample_rows)
        return _Material(counted, (*fresh, *of_windows), comparison, windowed)

    def _judge(
        self, scored: ScoredSets, material: "_Material"
    ) -> tuple[dict[str, Any], Sequence[str]]:
        """Return the verdict, and notes on what it rests on where that is not simply all rows."""
        counted, comparison = material.counted, material.comparison
        if counted is not None:
            notes = _notes_on_counts(scored, counted, self._rule)
            if comparison is not None:
                notes += _notes_on_sample(scored, self._long_sets.sample_rows)
            return asdict(judge_counted(counted, self._rule)), notes
        if comparison is None:
            raise TypeError("There is nothing to judge.")
        return asdict(judge(comparison, self._rule)), ()

    def picture(self, answer: Answer) -> str:
        """Return the windows of an answer as SVG."""
        scored = answer.scored
        windows = [WindowVerdict(**window) for window in answer.stored.result["windows"]]
        dataset = f"{scored.dataset.name} version {scored.dataset.version}"
        title = f"{scored.model} on {dataset}: production in {len(windows)} windows"
        return windows_svg(title, windows, self._rule)

    def page(self, answer: Answer) -> str:
        """Return the answer's page, complete and without need of a network."""
        scored, verdict = answer.scored, answer.stored.verdict
        dataset = f"{scored.dataset.name} version {scored.dataset.version}"
        computed = f"{answer.stored.created_at:%Y-%m-%d %H:%M:%S} UTC"
        lines = [
            f"{scored.model} on {dataset}: production against testing, {computed}",
            "Retraining needed." if verdict["retraining_needed"] else "No retraining needed.",
            *verdict["reasons"],
            *verdict["notes"],
        ]
        return self._evidently.complete(
            answer.stored.page or "",
            title=f"Cellar monitoring: {scored.model} on {dataset}",
            banner="\n".join(lines),
        )

    def _evaluate(self, question: Mapping[str, Any], comparison: Comparison) -> Evaluation:
        page = question["format"] == "html"
        if question["metric"] == "report":
            return self._evidently.report(comparison, page=page)
        return self._evidently.tests(comparison, question["tests"], page=page)

    def _fingerprint(self, question: Mapping[str, Any], scored: ScoredSets) -> str:
        everything = {
            "question": question,
            "dataset": scored.dataset.id,
            "testing": scored.testing.content_hash,
            "production": scored.production.content_hash,
            "model": scored.model_fingerprint,
            "rule": self._rule.limits_of(scored.dataset.task),
            "evidently": VERSION,
            "answer_version": ANSWER_VERSION,
        }
        if self._long_sets.are(scored) or "windows" in question:
            everything["counted"] = [COUNTING_VERSION, self._long_sets.sample_rows, SEED]
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def counts_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a test suite: all passed, how many, by Evidently's status."""
    statuses = Counter(str(test["status"]) for test in result["tests"])
    total = sum(statuses.values())
    success = statuses["SUCCESS"]
    return {
        "all_passed": total > 0 and success == total,
        "total_tests": total,
        "success_tests": success,
        "failed_tests": statuses["FAIL"],
        "by_status": dict(statuses),
    }


def _question(request: MonitoringRequest) -> dict[str, Any]:
    """Return the question in one form, so that equal questions are found equal."""
    if isinstance(request, VerdictQuestion):
        asked: dict[str, Any] = {"metric": request.metric, "format": "json"}
        return asked if request.windows is None else {**asked, "windows": request.windows}
    if isinstance(request, ReportQuestion):
        return {"metric": request.metric, "format": request.format}
    page = "json" if isinstance(request, SummaryQuestion) else request.format
    return {"metric": request.metric, "format": page, "tests": _chosen(request)}


def _chosen(request: Any) -> Sequence[str]:
    """Return the presets to run, in the contract's order.

    None named means all five; for `tests` an empty object names none on purpose.
    """
    if request.tests is None or (not request.tests and isinstance(request, SummaryQuestion)):
        return list(TEST_NAMES)
    chosen = [name for name in TEST_NAMES if request.tests.get(name)]
    if not chosen:
        raise NoTestsChosen()
    return chosen


def _decision(verdict: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "retraining_needed": verdict["retraining_needed"],
        "reasons": list(verdict["reasons"]),
    }


def _notes_on_windows(
    scored: ScoredSets, asked: int, windows: Sequence[WindowVerdict]
) -> Sequence[str]:
    notes = []
    if len(windows) < asked:
        notes.append(
            f"{len(windows)} windows rather than {asked}: rows of the same time stay together."
        )
    left_out = scored.production.row_count - sum(window.rows for window in windows)
    if left_out:
        notes.append(f"{left_out} rows have no time and are in no window.")
    return notes


def _notes_on_counts(scored: ScoredSets, counted: CountedSets, rule: RetrainingRule) -> list[str]:
    rows = f"{scored.testing.row_count} testing and {scored.production.row_count} production rows"
    hidden = max(precision(counted).values(), default=0.0)
    counted_all = f"All {rows} were counted in the database for the verdict; distances of features"
    notes = [f"{counted_all} are at most {hidden:.4f} larger than counted."]
    unsure = undecided(counted, rule)
    if unsure:
        notes.append(
            f"The counts are too coarse to rule out that these drifted: {', '.join(unsure)}."
        )
    return notes


def _notes_on_sample(scored: ScoredSets, sample_rows: int) -> list[str]:
    return [
        f"Evidently saw {sample_rows} of the {load.row_count} {load.set_name} rows, drawn at random"
        f" with the seed {SEED}."
        for load in (scored.testing, scored.production)
        if load.row_count > sample_rows
    ]

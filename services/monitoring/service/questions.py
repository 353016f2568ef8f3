"""Answer a monitoring question: from the store where nothing has changed, else by Evidently."""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from contracts.monitoring import TEST_NAMES, MonitoringRequest, ReportQuestion, SummaryQuestion
from monitoring.errors import NoTestsChosen
from monitoring.evidently_adapter import VERSION, Evaluation, EvidentlyAdapter
from monitoring.repository.results import ResultRepository, StoredResult
from monitoring.repository.scored_sets import ScoredSets, ScoredSetsRepository
from monitoring.service.comparison import Comparison
from monitoring.service.retraining_rule import RetrainingRule, judge
from servicekit.database import Database

log = logging.getLogger(__name__)

ANSWER_VERSION = 1
"""Raise it when the same question would get another answer; part of the fingerprint."""


@dataclass(frozen=True)
class Answer:
    """A stored answer and what it is about."""

    stored: StoredResult
    scored: ScoredSets


class QuestionService:
    """Report, tests and summary of the scored production set against the scored testing set."""

    def __init__(
        self,
        database: Database,
        scored_sets: ScoredSetsRepository,
        results: ResultRepository,
        evidently: EvidentlyAdapter,
        rule: RetrainingRule,
    ) -> None:
        self._database = database
        self._scored_sets = scored_sets
        self._results = results
        self._evidently = evidently
        self._rule = rule

    def answer(self, request: MonitoringRequest) -> Answer:
        """Answer, and store the answer with its verdict.

        The same question about unchanged data (sets, model version, rule, Evidently) is read from
        the store. No database connection is held while Evidently works.

        Raises
        ------
        NoTestsChosen
            Every test is switched off.
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
            comparison = self._scored_sets.compare(scored)
        started_s = time.perf_counter()
        verdict = asdict(judge(comparison, self._rule))
        evaluation = self._evaluate(question, comparison)
        result = evaluation.result
        if question["metric"] == "summary":
            result = {**counts_of(result), **_decision(verdict)}
        log.info("%s computed in %.2f s", question["metric"], time.perf_counter() - started_s)
        with self._database.transaction():
            self._results.add(
                fingerprint,
                question,
                dataset_id=scored.dataset.id,
                model_version_id=scored.model_version_id,
                verdict={**verdict, "notes": list(evaluation.notes)},
                result=result,
                page=evaluation.page,
            )
            stored = self._results.find(fingerprint)
        if stored is None:
            raise LookupError("A result that was just stored is not there.")
        return Answer(stored, scored)

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

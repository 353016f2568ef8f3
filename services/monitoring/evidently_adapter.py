"""Evidently, behind the two things this service asks of it: a report and test suites.

The only module that imports evidently; the import takes seconds, so that the server does it once,
before it forks its workers. Reports use Evidently's new API, the five test presets exist in its
legacy API alone.

Evidently keeps no state between runs and every run builds its own objects, but pandas' and
NumPy's warnings are silenced for the time of a run, and Python's warning filters are one for all
threads. So runs take turns in a process; they are bound by the interpreter lock anyway.
"""

import base64
import html as html_text
import json
import logging
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitoring.service.comparison import Comparison
from servicekit.errors import Impossible

with warnings.catch_warnings():
    # Evidently's dependencies warn of each other's deprecations while they are imported.
    warnings.simplefilter("ignore")
    import evidently
    from evidently import (
        BinaryClassification,
        DataDefinition,
        Dataset,
        MulticlassClassification,
        Regression,
        Report,
    )
    from evidently.legacy.pipeline.column_mapping import ColumnMapping
    from evidently.legacy.test_preset import (
        BinaryClassificationTestPreset,
        DataDriftTestPreset,
        DataQualityTestPreset,
        DataStabilityTestPreset,
        MulticlassClassificationTestPreset,
        NoTargetPerformanceTestPreset,
        RegressionTestPreset,
    )
    from evidently.legacy.test_suite import TestSuite
    from evidently.metrics import ValueDrift
    from evidently.presets import (
        ClassificationPreset,
        DataDriftPreset,
        DataSummaryPreset,
        RegressionPreset,
    )

log = logging.getLogger(__name__)

VERSION: str = evidently.__version__

NUMBERS_TESTED = "The dataset is a regression: multi_class_classification ran the tests of those."

LIBRARY_MARK = "<!-- evidently's page library -->"


class ComparisonImpossible(Impossible):
    """Evidently cannot compare these sets."""


@dataclass(frozen=True)
class Evaluation:
    """What Evidently says: strict JSON values, its page if asked for, and what was left out.

    `page` lacks Evidently's JavaScript library, 4 MB that are the same in every page: `complete`
    puts it in.
    """

    result: dict[str, Any]
    page: str | None
    notes: Sequence[str]


class EvidentlyAdapter:
    """Runs Evidently on a comparison of at most `max_rows` rows per set.

    Larger sets are sampled (evenly spread over the set, the same rows every time): Evidently needs
    minutes for a million rows, and its tests lose their meaning there.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._turn = threading.Lock()
        self._library = _page_library()

    def report(self, comparison: Comparison, *, page: bool) -> Evaluation:
        """Run data drift, data quality, target drift and classification, for a dataset of numbers
        regression, in one report.

        Raises
        ------
        ComparisonImpossible
            Evidently refuses every part of the report.
        """
        comparison, columns, notes = self._prepare(comparison)
        parts: dict[str, Sequence[Any]] = {
            "data drift": [DataDriftPreset(columns=columns)],
            "data quality": [DataSummaryPreset()],
            "target drift": [
                ValueDrift(column=comparison.target),
                ValueDrift(column=comparison.prediction),
            ],
            **(
                {"regression": [RegressionPreset()]}
                if comparison.task == "regression"
                else {"classification": [ClassificationPreset()]}
            ),
        }

        def run(chosen: Mapping[str, Sequence[Any]]) -> tuple[dict[str, Any], str | None]:
            report = Report([metric for metrics in chosen.values() for metric in metrics])
            definition = _data_definition(comparison)
            snapshot = report.run(
                Dataset.from_pandas(comparison.current, definition),
                Dataset.from_pandas(comparison.reference, definition),
            )
            text = snapshot.get_html_str(as_iframe=False) if page else None
            return read_json(snapshot.json()), text

        return self._evaluate(parts, run, notes)

    def tests(self, comparison: Comparison, chosen: Sequence[str], *, page: bool) -> Evaluation:
        """Run the test presets `chosen` (keys of the contract) as one suite.

        `multi_class_classification` stands for the tests of what is predicted: of two classes, or
        of numbers, where the dataset is about these.

        Raises
        ------
        ComparisonImpossible
            Evidently refuses every chosen preset.
        """
        comparison, columns, notes = self._prepare(comparison)
        presets: dict[str, Callable[[], Any]] = {
            "data_drift": lambda: DataDriftTestPreset(columns=columns),
            "data_quality": DataQualityTestPreset,
            "data_stability": DataStabilityTestPreset,
            "no_target_performance": lambda: NoTargetPerformanceTestPreset(columns=columns),
            "multi_class_classification": _performance_preset(comparison),
        }
        if comparison.task == "regression" and "multi_class_classification" in chosen:
            notes.append(NUMBERS_TESTED)

        def run(names: Mapping[str, str]) -> tuple[dict[str, Any], str | None]:
            suite = TestSuite(tests=[presets[name]() for name in names])
            suite.run(
                reference_data=comparison.reference,
                current_data=comparison.current,
                column_mapping=_column_mapping(comparison),
                timestamp=datetime.now(UTC),
            )
            text = suite.get_html() if page else None
            return read_json(suite.json()), text

        return self._evaluate({name: name for name in chosen}, run, notes)

    def complete(self, page: str, *, title: str, banner: str) -> str:
        """Return a page that works without a network: with the library, a title and a banner.

        `title` and `banner` are plain text.
        """
        head = (
            f"<title>{html_text.escape(title)}</title>\n"
            f'<link rel="icon" href="{_ICON}">\n'
            "<style>.cellar-verdict{font:16px/1.5 system-ui,sans-serif;padding:12px 24px;"
            "background:#f4f1ec;color:#222;border-bottom:1px solid #d8d2c8;white-space:pre-line}"
            "</style>\n"
        )
        body = f'<div class="cellar-verdict" role="status">{html_text.escape(banner)}</div>\n'
        start, _, rest = page.partition("</head>")
        rest = rest.replace("<body>", f"<body>{body}", 1)
        return f"{start}{head}</head>{rest.replace(LIBRARY_MARK, self._library, 1)}".lstrip()

    def _prepare(self, comparison: Comparison) -> tuple[Comparison, list[str] | None, list[str]]:
        """Return copies to work on, the features whose drift can be tested (None: all), notes."""
        notes = []
        frames = []
        for name, frame in (
            ("testing", comparison.reference),
            ("production", comparison.current),
        ):
            frame, note = _sampled(frame, self._max_rows, name)
            notes.extend(note)
            # Evidently replaces infinities in place and aligns rows by their index.
            frames.append(frame.reset_index(drop=True).copy())
        prepared = Comparison(
            reference=frames[0],
            current=frames[1],
            numerical=comparison.numerical,
            categorical=comparison.categorical,
            target=comparison.target,
            prediction=comparison.prediction,
            classes=comparison.classes,
            task=comparison.task,
        )
        usable = [name for name in prepared.features if _is_comparable(prepared, name)]
        notes.extend(
            f"Column {name} holds no value in one of the sets; its drift was not tested."
            for name in prepared.features
            if name not in usable
        )
        everything = len(usable) == len(prepared.features)
        return prepared, None if everything else usable, notes

    def _evaluate(
        self,
        parts: Mapping[str, Any],
        run: Callable[[Mapping[str, Any]], tuple[dict[str, Any], str | None]],
        notes: Sequence[str],
    ) -> Evaluation:
        """Run all parts at once; if Evidently fails on that, run those that work alone."""
        with self._turn, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result, text = run(parts)
                return Evaluation(result, _without_library(text, self._library), tuple(notes))
            except Exception:
                log.warning("Evidently failed on %s; trying each", ", ".join(parts), exc_info=True)
            working, refused = _split(parts, run)
            if not working:
                raise ComparisonImpossible(
                    f"Evidently refuses these sets: {'; '.join(refused)}. Load sets with more rows "
                    "and with every class in each."
                )
            result, text = run(working)
            return Evaluation(result, _without_library(text, self._library), (*notes, *refused))


def read_json(text: str) -> dict[str, Any]:
    """Read Evidently's own JSON; its NaN and Infinity tokens, which are not JSON, become None."""
    value: dict[str, Any] = json.loads(text, parse_constant=lambda _token: None)
    return value


def _split(
    parts: Mapping[str, Any],
    run: Callable[[Mapping[str, Any]], object],
) -> tuple[dict[str, Any], list[str]]:
    """Return the parts that run by themselves, and a sentence about each of the others."""
    working: dict[str, Any] = {}
    refused: list[str] = []
    for name, part in parts.items():
        try:
            run({name: part})
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
            refused.append(f"{name} was left out: {type(error).__name__}: {error}")
        else:
            working[name] = part
    return working, refused


def _sampled(frame: pd.DataFrame, max_rows: int, name: str) -> tuple[pd.DataFrame, list[str]]:
    if len(frame) <= max_rows:
        return frame, []
    rows = [step * len(frame) // max_rows for step in range(max_rows)]
    return frame.iloc[rows], [f"Evidently saw {max_rows} of the {len(frame)} {name} rows."]


def _is_comparable(comparison: Comparison, name: str) -> bool:
    """Tell whether a feature has a finite value in both sets; Evidently refuses others."""
    columns = (comparison.reference[name], comparison.current[name])
    if name in comparison.numerical:
        return all(np.isfinite(column.to_numpy(float)).any() for column in columns)
    return all(column.notna().any() for column in columns)


def _performance_preset(comparison: Comparison) -> Any:
    if comparison.task == "regression":
        return RegressionTestPreset
    two = len(comparison.classes) == 2
    return BinaryClassificationTestPreset if two else MulticlassClassificationTestPreset


def _positive_class(comparison: Comparison) -> str:
    """Return what Evidently shall call positive where it meets two classes: the last in order."""
    in_both = set(comparison.reference[comparison.target].dropna()) & set(
        comparison.current[comparison.target].dropna()
    )
    return next((name for name in reversed(comparison.classes) if name in in_both), "")


def _column_mapping(comparison: Comparison) -> ColumnMapping:
    return ColumnMapping(
        target=comparison.target,
        prediction=comparison.prediction,
        task=comparison.task,
        pos_label=_positive_class(comparison),
        numerical_features=list(comparison.numerical),
        categorical_features=list(comparison.categorical),
    )


def _data_definition(comparison: Comparison) -> DataDefinition:
    if comparison.task == "regression":
        return DataDefinition(
            numerical_columns=[
                *comparison.numerical,
                comparison.target,
                comparison.prediction,
            ],
            categorical_columns=list(comparison.categorical),
            regression=[Regression(target=comparison.target, prediction=comparison.prediction)],
        )
    if len(comparison.classes) == 2:
        task: Any = BinaryClassification(
            target=comparison.target,
            prediction_labels=comparison.prediction,
            pos_label=_positive_class(comparison),
        )
    else:
        task = MulticlassClassification(
            target=comparison.target, prediction_labels=comparison.prediction
        )
    return DataDefinition(
        numerical_columns=list(comparison.numerical),
        categorical_columns=[
            *comparison.categorical,
            comparison.target,
            comparison.prediction,
        ],
        classification=[task],
    )


_ICON = "data:image/svg+xml;base64," + base64.b64encode(
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    b'<circle cx="8" cy="8" r="7" fill="#7b1e3b"/></svg>'
).decode("ascii")


def _page_library() -> str:
    folder = Path(evidently.__file__).parent / "nbextension" / "static"
    return (folder / "index.js").read_text(encoding="utf-8")


def _without_library(page: str | None, library: str) -> str | None:
    """Take the library out of a page, and make its data safe inside a script element.

    Evidently writes column names and classes into the script as they are; `</script>` in one
    would end it there.
    """
    if page is None:
        return None
    start, data, rest = re.split(
        r"(?<=<script>)(.*)(?=</script>\s*</head>)",
        page.replace(library, LIBRARY_MARK, 1),
        maxsplit=1,
        flags=re.DOTALL,
    )
    return start + data.replace("</", "<\\/").replace("<!--", "<\\!--") + rest

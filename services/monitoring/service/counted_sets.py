"""Two long scored sets, counted in the database: read where they were counted before."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.repository.scored_sets import ScoredSets
from monitoring.repository.set_counts import SetCounts
from monitoring.repository.set_statistics import Counting, SetStatisticsRepository
from monitoring.repository.windows import Windows
from monitoring.service.sampling import sample_numbers
from monitoring.service.set_statistics import (
    FEATURES,
    FEATURES_BY_WINDOW,
    PREDICTIONS,
    PREDICTIONS_BY_WINDOW,
    ClassCounts,
    CountedSet,
    CountedSets,
    ErrorCounts,
    FeatureCounts,
    FeaturesByWindow,
    PredictionsByWindow,
    WindowedSet,
    as_json,
)
from schema.sets import SetLoad

CELL_ROWS = 50_000
"""Rows of the reference from which its cells are made: by simulation each then holds what it is
meant to within a quarter."""

COUNTING_VERSION = 2
"""Raise it when the same rows would be counted in another way; part of every fingerprint."""


@dataclass(frozen=True)
class Fresh:
    """What was counted just now and is not kept yet."""

    counting: Counting
    statistics: dict[str, Any]


class CountedSetsReader:
    """Counts what is not known yet, in the caller's transaction.

    The reference is counted once, in cells that it fixes itself, and stands until other rows are
    loaded as this set; likewise any current set, and what each model version predicted for either.
    """

    def __init__(self, counts: SetCounts, kept: SetStatisticsRepository) -> None:
        self._counts = counts
        self._kept = kept

    def read(self, scored: ScoredSets) -> tuple[CountedSets, Sequence[Fresh]]:
        """Return both sets, and what of them is to be kept; nothing is written here."""
        self._counts.begin()
        fresh: list[Fresh] = []
        testing, production = scored.testing, scored.production
        features = [self._features(testing, None, testing, fresh)]
        features.append(self._features(production, features[0], testing, fresh))
        predictions = [self._predictions(testing, None, scored, fresh)]
        predictions.append(self._predictions(production, predictions[0], scored, fresh))
        reference, current = map(CountedSet, features, predictions)
        classes = [str(label) for label in scored.dataset.classes]
        return CountedSets(reference, current, classes), tuple(fresh)

    def read_windows(
        self, scored: ScoredSets, window_count: int
    ) -> tuple[WindowedSet, Sequence[Fresh]]:
        """Return the production set in windows, and what of them is to be kept.

        There are fewer than `window_count` where many rows have the same time.
        """
        self._counts.begin()
        fresh: list[Fresh] = []
        testing, production, version = scored.testing, scored.production, scored.model_version_id
        features = self._features(testing, None, testing, fresh)
        predictions = self._predictions(testing, None, scored, fresh)
        by_feature = _counting(production, None, [testing.content_hash], window_count)
        by_version = _counting(
            production, version, [testing.content_hash, scored.model_fingerprint], window_count
        )
        kept_features, kept_predictions = map(self._kept.find, (by_feature, by_version))
        windows = None
        if kept_features is None or kept_predictions is None:
            windows = self._counts.windows(production, window_count)
        if windows is None or kept_features is not None:
            features_found = FEATURES_BY_WINDOW.validate_python(kept_features)
        else:
            counted = self._counts.features(production, features.cells, windows)
            features_found = FeaturesByWindow.of(windows.spans, features.cells, counted)
            fresh.append(Fresh(by_feature, as_json(features_found)))
        if windows is None or kept_predictions is not None:
            predictions_found = PREDICTIONS_BY_WINDOW.validate_python(kept_predictions)
        else:
            predictions_found = PredictionsByWindow(
                self._counted_predictions(production, version, predictions, windows)
            )
            fresh.append(Fresh(by_version, as_json(predictions_found)))
        windowed = WindowedSet(
            CountedSet(features, predictions),
            features_found.spans,
            list(map(CountedSet, features_found.windows, predictions_found.windows)),
            [str(label) for label in scored.dataset.classes],
        )
        return windowed, tuple(fresh)

    def keep(self, fresh: Sequence[Fresh]) -> None:
        """Keep what was counted, so that it is read the next time."""
        for item in fresh:
            self._kept.add(item.counting, item.statistics)

    def _features(
        self,
        load: SetLoad,
        reference: FeatureCounts | None,
        reference_load: SetLoad,
        fresh: list[Fresh],
    ) -> FeatureCounts:
        counting = _counting(load, None, [reference_load.content_hash])
        known = self._kept.find(counting)
        if known is not None:
            return FEATURES.validate_python(known)
        if reference is None:
            cells = self._counts.cells(load, sample_numbers(load.row_count, CELL_ROWS))
        else:
            cells = reference.cells
        (counted,) = self._counts.features(load, cells)
        fresh.append(Fresh(counting, as_json(counted)))
        return counted

    def _predictions(
        self,
        load: SetLoad,
        reference: ClassCounts | ErrorCounts | None,
        scored: ScoredSets,
        fresh: list[Fresh],
    ) -> ClassCounts | ErrorCounts:
        version = scored.model_version_id
        counting = _counting(load, version, [scored.testing.content_hash, scored.model_fingerprint])
        known = self._kept.find(counting)
        if known is not None:
            return PREDICTIONS.validate_python(known)
        (counted,) = self._counted_predictions(load, version, reference, None)
        fresh.append(Fresh(counting, as_json(counted)))
        return counted

    def _counted_predictions(
        self,
        load: SetLoad,
        model_version_id: int,
        reference: ClassCounts | ErrorCounts | None,
        windows: Windows | None,
    ) -> Sequence[ClassCounts | ErrorCounts]:
        if load.dataset.task == "classification":
            return self._counts.classes(load, model_version_id, windows)
        if isinstance(reference, ErrorCounts):
            cells = reference.cells
        else:
            rows = sample_numbers(load.row_count, CELL_ROWS)
            cells = self._counts.prediction_cells(load, model_version_id, rows)
        return self._counts.errors(load, model_version_id, cells, windows)


def _counting(
    load: SetLoad,
    model_version_id: int | None,
    others: Sequence[str],
    window_count: int | None = None,
) -> Counting:
    identity: list[Any] = [COUNTING_VERSION, load.dataset.id, load.set_name, load.content_hash]
    identity += others
    if window_count is not None:
        identity += ["by window", window_count, load.dataset.time_column]
    fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return Counting(fingerprint, load, model_version_id, window_count)

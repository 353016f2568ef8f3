"""Labels and what they say, the history of predictions, and its figures."""

from datetime import UTC, datetime
from typing import Any

from flask_restful import Resource

from contracts.feedback import (
    HistoryAnswer,
    HistoryItem,
    HistoryQuery,
    LabelsAnswer,
    LabelsRequest,
    MetricsAnswer,
    MetricsQuery,
    MinuteFigures,
    QualityAnswer,
    QualityQuery,
    QualityWindow,
    VersionQuality,
    VersionUse,
)
from ml_model.quality import Quality
from ml_model.service.labels import LabelService
from ml_model.service.prediction_history import (
    HistoryEntry,
    PredictionHistoryService,
)
from ml_model.version_total import VersionTotal
from servicekit.api import endpoint


class LabelsResource(Resource):  # type: ignore[misc]
    """`POST /labels`."""

    def __init__(self, labels: LabelService) -> None:
        self._labels = labels

    @endpoint(
        summary="Tell what a prediction should have been",
        body=LabelsRequest,
        answers={200: LabelsAnswer},
        errors=(400,),
        example={"request_id": "5f2b...", "label": 2},
    )
    def post(self, body: LabelsRequest) -> LabelsAnswer:
        """One label or many, by request id and row, in any order, also before the prediction is
        known. The same again changes nothing; another label for a row replaces the earlier one.
        """
        outcome = self._labels.store(
            [(item.request_id, item.row, item.label) for item in body.items]
        )
        return LabelsAnswer(
            stored=outcome.stored,
            changed=outcome.changed,
            unchanged=outcome.unchanged,
            matched=outcome.matched,
        )


class QualityResource(Resource):  # type: ignore[misc]
    """`GET /quality`."""

    def __init__(self, labels: LabelService) -> None:
        self._labels = labels

    @endpoint(
        summary="How right each version was, by the labels",
        query=QualityQuery,
        answers={200: QualityAnswer},
        errors=(400,),
    )
    def get(self, query: QualityQuery) -> QualityAnswer:
        """Accuracy, for a regression mean absolute error and r2, per version and window of
        `window_s` seconds; the last window ends now. Answers of a shadow stand apart.
        """
        since, found = self._labels.quality(
            now=datetime.now(UTC),
            window_s=query.window_s,
            windows=query.windows,
            registered_name=query.registered_model_name,
            version=query.model_version,
        )
        return QualityAnswer(
            window_s=query.window_s,
            since=since.isoformat(),
            quality=[
                VersionQuality(
                    registered_model_name=item.version.registered_name,
                    model_version=str(item.version.version),
                    shadow=item.shadow,
                    windows=[
                        QualityWindow(
                            start=window.start.isoformat(),
                            end=window.end.isoformat(),
                            **_figures(window.quality),
                        )
                        for window in item.windows
                    ],
                    **_figures(item.total),
                )
                for item in found
            ],
        )


class HistoryResource(Resource):  # type: ignore[misc]
    """`GET /predictions/history`."""

    def __init__(self, history: PredictionHistoryService) -> None:
        self._history = history

    @endpoint(
        summary="The predictions, the newest first",
        query=HistoryQuery,
        answers={200: HistoryAnswer},
        errors=(400,),
    )
    def get(self, query: HistoryQuery) -> HistoryAnswer:
        """One entry per predicted row, with its label once that is known. `next_cursor` leads to
        the rows before these.
        """
        # One more than asked for tells whether there are more.
        entries = self._history.page(
            limit=query.limit + 1,
            before_id=query.cursor,
            registered_name=query.registered_model_name,
            version=query.model_version,
            since=query.since,
            until=query.until,
            request_id=query.request_id,
            shadow=query.shadow,
        )
        items = [_history_item(entry) for entry in entries[: query.limit]]
        more = len(entries) > query.limit
        return HistoryAnswer(
            history=items, count=len(items), next_cursor=str(items[-1].id) if more else None
        )


class MetricsResource(Resource):  # type: ignore[misc]
    """`GET /metrics`."""

    def __init__(self, history: PredictionHistoryService) -> None:
        self._history = history

    @endpoint(
        summary="Requests, latency and use of each version",
        query=MetricsQuery,
        answers={200: MetricsAnswer},
        errors=(400,),
    )
    def get(self, query: MetricsQuery) -> MetricsAnswer:
        """Of all predictions that are kept, shadows apart; the last minutes one by one."""
        figures = self._history.figures(query.minutes)
        whole = sum((use.total for use in figures.versions), VersionTotal())
        return MetricsAnswer(
            total_requests=whole.answers + whole.failures,
            total_predictions=whole.predictions,
            total_errors=whole.failures,
            average_latency_ms=whole.average_latency_ms or 0.0,
            model_versions={
                f"{use.registered_name}/{use.version}": VersionUse(
                    requests=use.total.requests,
                    predictions=use.total.predictions,
                    errors=use.total.errors,
                    average_latency_ms=use.total.average_latency_ms,
                    shadow_predictions=use.total.shadow_predictions,
                    accuracy=figures.accuracies.get((use.registered_name, use.version)),
                )
                for use in figures.versions
            },
            predictions_by_class=dict(figures.classes),
            retrainings=figures.retrainings,
            per_minute=[
                MinuteFigures(
                    minute=minute.minute.isoformat(),
                    requests=minute.requests,
                    errors=minute.errors,
                    p50_ms=minute.p50_ms,
                    p95_ms=minute.p95_ms,
                )
                for minute in figures.minutes
            ],
        )


def _figures(quality: Quality) -> dict[str, Any]:
    return {
        "predictions": quality.predictions,
        "labelled": quality.labelled,
        "accuracy": quality.accuracy,
        "mean_absolute_error": quality.mean_absolute_error,
        "r2": quality.r2,
    }


def _history_item(entry: HistoryEntry) -> HistoryItem:
    logged = entry.logged
    return HistoryItem(
        id=logged.id,
        request_id=logged.request_id,
        row=logged.row,
        inputs=dict(entry.inputs),
        prediction=entry.prediction,
        prediction_name=entry.prediction_name,
        confidence=entry.confidence,
        probabilities=None if entry.probabilities is None else dict(entry.probabilities),
        label=entry.label,
        slot=logged.slot,
        registered_model_name=logged.registered_name,
        model_version=str(logged.version),
        latency_ms=logged.latency_us / 1000,
        error=logged.error,
        created_at=logged.created_at.isoformat(),
    )

"""`/add_training_data` and `/trigger_retrain`: the online loop."""

from flask_restful import Resource

from contracts.training import (
    AddTrainingDataAnswer,
    AddTrainingDataRequest,
    DatasetRowsAnswer,
    JobStartedAnswer,
    TrainingDataAnswer,
    TriggerRetrainRequest,
)
from jobkit.controller.jobs import job_answer
from ml_model.service.online_training import Added, OnlineTraining
from servicekit.api import endpoint


class AddTrainingDataResource(Resource):  # type: ignore[misc]
    """`POST /add_training_data`."""

    def __init__(self, online: OnlineTraining) -> None:
        self._online = online

    @endpoint(
        summary="Store one labelled row for the next retraining",
        body=AddTrainingDataRequest,
        answers={200: AddTrainingDataAnswer},
        errors=(400, 404, 409, 503),
        example={"features": [5.1, 3.5, 1.4, 0.2], "target": 0, "dataset_name": "iris"},
    )
    def post(self, body: AddTrainingDataRequest) -> AddTrainingDataAnswer:
        """Counts the new rows of the dataset; from the threshold on a retraining begins in the
        background, one per dataset at a time. Repeated with the same X-Request-ID, the row is
        stored once; another row under the same id is refused with 409.
        """
        added = self._online.add(body.features, body.target, body.dataset_name)
        return AddTrainingDataAnswer(
            message=_message(added),
            id=added.id,
            dataset_name=added.dataset_name,
            new_rows=added.new_rows,
            threshold=self._online.threshold_rows,
            missing=added.missing_rows,
            retraining_started=added.started,
            job_id=added.job.id if added.job else None,
            job=job_answer(added.job) if added.job else None,
        )


class TrainingDataResource(Resource):  # type: ignore[misc]
    """`GET /training_data`."""

    def __init__(self, online: OnlineTraining) -> None:
        self._online = online

    @endpoint(summary="How many labelled rows came in online", answers={200: TrainingDataAnswer})
    def get(self) -> TrainingDataAnswer:
        """By dataset: the rows that no retraining has taken yet, and all that are stored."""
        return TrainingDataAnswer(
            datasets=[
                DatasetRowsAnswer(dataset_name=name, new_rows=new, stored_rows=stored)
                for name, (new, stored) in self._online.counts().items()
            ],
            threshold=self._online.threshold_rows,
        )


class TriggerRetrainResource(Resource):  # type: ignore[misc]
    """`POST /trigger_retrain`."""

    def __init__(self, online: OnlineTraining) -> None:
        self._online = online

    @endpoint(
        summary="Begin a retraining",
        body=TriggerRetrainRequest,
        answers={202: JobStartedAnswer},
        errors=(404, 409, 503),
        example={"force_retrain": True},
    )
    def post(self, body: TriggerRetrainRequest) -> JobStartedAnswer:
        """Retrains what serves on the stored training set and the new rows; the challenger goes
        to `next` if it is not worse on the rows held out. While a retraining of the dataset waits
        or runs, that one is the answer. 409 where there are no new rows and it is not forced.
        """
        job = self._online.trigger(body.dataset_name, force=body.force_retrain)
        return JobStartedAnswer(
            status=job.state,
            message=f"GET /jobs/{job.id} says how far the retraining is.",
            job_id=job.id,
            job=job_answer(job),
        )


def _message(added: Added) -> str:
    if added.started and added.job is not None:
        return f"Stored. A retraining begins: GET /jobs/{added.job.id}."
    if added.job is not None:
        return f"Stored for the retraining after the one that runs, job {added.job.id}."
    return f"Stored. {added.missing_rows} rows are missing until a retraining begins."

"""`/train`: a model from rows or a stored dataset."""

from flask import Response
from flask_restful import Resource

from contracts.training import JobStartedAnswer, TrainAnswer, TrainFailedAnswer, TrainRequest
from jobkit.controller.jobs import job_answer
from jobkit.job import Job
from ml_model.errors import JobCancelled
from ml_model.service.train_requests import TrainRequests
from modelkit.errors import HyperparametersRefused, ModelOfAnotherTask
from servicekit.api import endpoint, json_response
from servicekit.wire import ErrorDetail


class TrainResource(Resource):  # type: ignore[misc]
    """`POST /train`."""

    def __init__(self, requests: TrainRequests) -> None:
        self._requests = requests

    @endpoint(
        summary="Train and register a model on given rows or a stored dataset",
        body=TrainRequest,
        answers={200: TrainAnswer, 202: JobStartedAnswer},
        errors=(400, 404, 409, 422, 503),
        example={"dataset_name": "iris", "model_name": "LogisticRegression"},
    )
    def post(self, body: TrainRequest) -> object:
        """Trains in a process of its own, in an MLflow run with autologging, and registers the
        pipeline. A part of the rows is held back: the metrics are of these, and they are kept as
        the version's drift sample. What serves is not changed. 202 with the job where it takes
        longer than the service waits; a set with more labelled rows than `CELLAR_FIT_MAX_ROWS` is
        trained on a sample, which `notes` say; 422 with `"status": "failed"` where the fit fails.
        """
        model = {
            "model_name": body.model_name,
            "hyperparameters": body.hyperparameters,
            "registered_model_name": body.registered_model_name or body.model_name,
        }
        try:
            if body.data is not None:
                target = body.target or []
                job = self._requests.train_on_rows(body.data, target, body.columns, model)
            else:
                name = str(body.dataset_name)
                job = self._requests.train_on_dataset(name, body.dataset_version, model)
        except (HyperparametersRefused, ModelOfAnotherTask) as error:
            return _refused(error)
        return _answer(job)


def _answer(job: Job) -> object:
    result = job.result or {}
    if job.state == "succeeded":
        return TrainAnswer(
            message=job.message,
            run_name=result["run_name"],
            run_id=result["run_id"],
            registered_model_name=result["registered_model_name"],
            model_version=result["model_version"],
            model_uri=result["model_uri"],
            drift_sample_id=result["drift_sample_id"],
            metrics=result["metrics"],
            trained_rows=result["trained_rows"],
            rows_in_set=result["rows_in_set"],
            notes=result["notes"],
            drift_sample_rows=result["drift_sample_rows"],
            job_id=job.id,
        )
    if job.state == "failed":
        return _failed(job, result["status_code"])
    if job.state == "cancelled":
        raise JobCancelled(f"Job {job.id} was cancelled before it ended.")
    message = f"The training goes on: GET /jobs/{job.id} says how far it is."
    started = JobStartedAnswer(
        status=job.state, message=message, job_id=job.id, job=job_answer(job)
    )
    return started, 202


def _refused(error: HyperparametersRefused | ModelOfAnotherTask) -> Response:
    """Answer as a failed training would: what cannot be trained was refused without a job."""
    details = [ErrorDetail(path=item.path, problem=item.problem) for item in error.details]
    answer = TrainFailedAnswer(error=error.error, message=error.message, details=details)
    return json_response(answer, 422)


def _failed(job: Job, status: int) -> Response:
    result = job.result or {}
    answer = TrainFailedAnswer(
        error=result["error"],
        message=result["message"],
        run_name=result.get("run_name"),
        run_id=result.get("run_id"),
        job_id=job.id,
    )
    return json_response(answer, status)

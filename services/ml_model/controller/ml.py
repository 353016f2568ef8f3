"""`/root/ml`: the model that is set, its training and scoring."""

from flask_restful import Resource

from contracts.ml_model import (
    MLAnswer,
    MLRequest,
    MLStateAnswer,
    SetModelAnswer,
    SetModelRequest,
)
from contracts.training import JobStartedAnswer
from jobkit.controller.jobs import job_answer
from jobkit.job import Job
from ml_model.domain import Score
from ml_model.service.deployment import DeploymentService
from ml_model.service.job_waiting import outcome_of
from ml_model.service.scoring_requests import ScoringRequests
from ml_model.service.training import TrainingService
from servicekit.api import endpoint


class MLResource(Resource):  # type: ignore[misc]
    """`GET` and `POST /root/ml`."""

    def __init__(
        self, deployments: DeploymentService, training: TrainingService, scoring: ScoringRequests
    ) -> None:
        self._deployments = deployments
        self._training = training
        self._scoring = scoring

    @endpoint(summary="The model that is set", answers={200: MLStateAnswer})
    def get(self) -> MLStateAnswer:
        """The state of the slot `current`; name is null while no model is set."""
        state = self._deployments.state()
        deployment, version = state.deployment, state.version
        return MLStateAnswer(
            name=deployment.model_name if deployment else None,
            hyperparameters=dict(deployment.hyperparameters) if deployment else None,
            run_id=deployment.source_run_id if deployment else None,
            trained=version is not None,
            registered_model_name=version.registered_name if version else None,
            model_version=str(version.version) if version else None,
            dataset_name=version.dataset_name if version else None,
            dataset_version=version.dataset_version if version else None,
        )

    @endpoint(
        summary="Train the model that is set, or score a set with the trained one",
        body=MLRequest,
        answers={200: MLAnswer, 202: JobStartedAnswer},
        errors=(400, 404, 409, 422, 503),
        example={"dataset": "training"},
    )
    def post(self, body: MLRequest) -> object:
        """`training` fits impute, scale and model together on the training set only, registers
        the pipeline in MLflow and scores the set; the other two are scored with it. Each row's
        prediction is stored. A set of more than 50,000 rows (fewer where it has more than 40
        columns) is scored as a job, whose end is waited for; 202 with the job where that takes
        longer, or with `"wait": false`. A training set with more labelled rows than
        `CELLAR_FIT_MAX_ROWS` is fitted on a sample, which `notes` say, and scored whole in that
        way. 409 names the call that is due first; 422 passes on why
        the estimator refuses, or names the models that fit the dataset.
        """
        if body.dataset == "training":
            found = self._training.train(body.dataset_name, body.dataset_version)
        else:
            found = self._scoring.score(
                body.dataset, body.dataset_name, body.dataset_version, wait=body.wait
            )
        return _answer(found) if isinstance(found, Score) else _answer_of_job(found)


def _answer(score: Score) -> MLAnswer:
    return MLAnswer(
        message=score.message,
        score=score.score,
        model_name=score.version.model_name,
        registered_model_name=score.version.registered_name,
        model_version=str(score.version.version),
        dataset_name=score.dataset_name,
        dataset_version=score.dataset_version,
        rows=score.rows,
        task=score.task,
        metrics=dict(score.metrics),
        rows_fitted=score.rows_fitted,
        rows_in_set=None if score.rows_fitted is None else score.rows,
    )


def _answer_of_job(job: Job) -> object:
    if job.finished:
        result = outcome_of(job)
        known = {name: result[name] for name in MLAnswer.model_fields if name in result}
        return MLAnswer.model_validate(known)
    notes = job.request.get("fitted", {}).get("notes", [])
    message = " ".join([f"The scoring goes on: GET /jobs/{job.id} says how far it is.", *notes])
    started = JobStartedAnswer(
        status=job.state, message=message, job_id=job.id, job=job_answer(job)
    )
    return started, 202


class SetModelResource(Resource):  # type: ignore[misc]
    """`POST /root/ml/set_model`."""

    def __init__(self, deployments: DeploymentService) -> None:
        self._deployments = deployments

    @endpoint(
        summary="Set the model that is trained next",
        body=SetModelRequest,
        answers={200: SetModelAnswer},
        errors=(400, 422),
        example={"model_name": "RandomForest", "hyperparameters": {"n_estimators": 100}},
    )
    def post(self, body: SetModelRequest) -> SetModelAnswer:
        """The same again changes nothing: a trained model stays trained. 400 names the models
        there are; 422 passes on why the estimator refuses a hyperparameter.
        """
        self._deployments.set_model(body.model_name, body.hyperparameters, body.run_id)
        return SetModelAnswer(
            model_name=body.model_name,
            hyperparameters=body.hyperparameters,
            run_id=body.run_id,
        )

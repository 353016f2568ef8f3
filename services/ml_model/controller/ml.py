"""`/root/ml`: the model that is set, its training and scoring."""

from flask_restful import Resource

from contracts.ml_model import (
    MLAnswer,
    MLRequest,
    MLStateAnswer,
    SetModelAnswer,
    SetModelRequest,
)
from ml_model.service.deployment import DeploymentService
from ml_model.service.scoring import ScoringService
from ml_model.service.training import TrainingService
from servicekit.api import endpoint


class MLResource(Resource):  # type: ignore[misc]
    """`GET` and `POST /root/ml`."""

    def __init__(
        self, deployments: DeploymentService, training: TrainingService, scoring: ScoringService
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
        answers={200: MLAnswer},
        errors=(400, 404, 409, 422),
        example={"dataset": "training"},
    )
    def post(self, body: MLRequest) -> MLAnswer:
        """`training` fits impute, scale and model together on the training set only, registers
        the pipeline in MLflow and scores the set; the other two are scored with it. Each row's
        prediction is stored. 409 names the call that is due first; 422 passes on why the
        estimator refuses, or names the models that fit the dataset.
        """
        if body.dataset == "training":
            result = self._training.train(body.dataset_name, body.dataset_version)
        else:
            result = self._scoring.score(body.dataset, body.dataset_name, body.dataset_version)
        return MLAnswer(
            message=result.message,
            score=result.score,
            model_name=result.version.model_name,
            registered_model_name=result.version.registered_name,
            model_version=str(result.version.version),
            dataset_name=result.dataset_name,
            dataset_version=result.dataset_version,
            rows=result.rows,
            task=result.task,
            metrics=dict(result.metrics),
        )


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

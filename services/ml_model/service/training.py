"""Train what is set on the loaded training set, once per question.

A set with more rows than may be fitted is fitted on a sample, and scored as a job.
"""

import time
from dataclasses import replace
from datetime import UTC, datetime

from sklearn.pipeline import Pipeline

from contracts.vocabulary import SetName
from jobkit.job import Job
from jobkit.service.jobs import JobService
from ml_model.domain import (
    CURRENT_SLOT,
    Deployment,
    ModelVersion,
    Score,
    SetPredictions,
    TrainingResult,
)
from ml_model.errors import ModelChanged, ModelGone, ScoringFailed, TrainingFailed
from ml_model.fitting import features_of, fit, predict, training_fingerprint
from ml_model.held_out import held_out_of
from ml_model.ledger_entries import Configuration
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.model_store import MlflowModelStore
from ml_model.repository.sets import SqlSets
from ml_model.service.held_out_rows import testing_rows
from ml_model.service.job_waiting import JobWaiting
from ml_model.service.lifecycle import get_deployment, get_trainable
from ml_model.service.scoring_requests import scoring_job_of
from ml_model.service.serving_models import ServingModels
from ml_model.service.slots import Follower
from modelkit.features import columns_of
from modelkit.pipeline import pipeline_version
from modelkit.validation import check_task
from schema.fit_rows import FitRows
from schema.locks import SLOT_LOCK
from schema.sets import SetChanged, SetLoad
from servicekit.database import Database
from servicekit.telemetry import request_id

ATTEMPTS = 2
TRAINING: SetName = "training"

Trained = tuple[ModelVersion, Pipeline, SetPredictions | None]
"""The last is None where a version is known and the set is scored as a job."""


class TrainingService:
    """Fits, registers, deploys and scores, or finds that all this is done already."""

    def __init__(
        self,
        database: Database,
        ledger: SqlLedger,
        sets: SqlSets,
        store: MlflowModelStore,
        serving: ServingModels,
        follower: Follower,
        jobs: JobService,
        waiting: JobWaiting,
        fit_max_rows: int,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._sets = sets
        self._store = store
        self._serving = serving
        self._follower = follower
        self._jobs = jobs
        self._waiting = waiting
        self._fit_max_rows = fit_max_rows

    def train(self, dataset_name: str, dataset_version: int | None) -> Score | Job:
        """Train the model that is set and score the training set with it.

        The same model, hyperparameters and rows give the same version: nothing is fitted or
        registered again. Two requests at once take turns, and the second finds the work done. A
        training set that is replaced meanwhile is trained on anew, once.

        A set with more rows than may be fitted is scored by a job, which is returned when it has
        finished, or as it is after the waiting time; what serves is the new version already.

        Raises
        ------
        SetNotLoaded, ModelNotSet
            Something is due first.
        ModelOfAnotherTask
            The model does not predict what the dataset's target is.
        TrainingFailed
            The estimator refuses.
        ModelChanged
            Another model was set meanwhile; the version is recorded but not deployed.
        SetChanged
            The training set was replaced again and again.
        ModelStoreUnavailable
            MLflow is away; what was deployed stays deployed.
        """
        for _ in range(ATTEMPTS):
            with self._database.transaction():
                load = self._sets.get_load(TRAINING, dataset_name, dataset_version)
                deployment = get_trainable(self._ledger)
                fit_rows = self._sets.read_fit_rows(load, self._fit_max_rows)
            found = None if fit_rows is None else self._train_on(deployment, load, fit_rows)
            if found is not None:
                return found
        raise SetChanged()

    def _train_on(
        self, deployment: Deployment, load: SetLoad, fit_rows: FitRows
    ) -> Score | Job | None:
        """Train, deploy and store; None where the set was replaced meanwhile."""
        check_task(deployment.model_name, load.dataset.task, load.dataset.name)
        columns = columns_of(features_of(fit_rows.rows.head(1), load.dataset.target.name))
        fingerprint = training_fingerprint(
            deployment,
            load.dataset.id,
            load.content_hash,
            pipeline_version(columns),
            drawn_rows=len(fit_rows.rows) if fit_rows.sampled else None,
        )
        with self._database.transaction():
            self._ledger.lock(f"cellar.training.{fingerprint}")
            known = self._known(fingerprint, load, fit_rows)
            version, pipeline, predictions = known or self._fit_and_register(
                deployment, load, fit_rows, fingerprint
            )
            # Before it is deployed: what stands in the slot can be served at once.
            self._prepare(version, pipeline, load, fit_rows)
            stored = self._sets.holds(load)
            if stored and predictions is not None and fit_rows.whole:
                self._sets.replace_predictions(version, load, predictions)
            # Last: the time in the ledger is then that of the commit, and its lock is held briefly.
            deployed = self._deploy(deployment, version)
        if not deployed:
            raise ModelChanged()
        self._follower.refresh()
        if not stored:
            return None
        facts = fit_rows.facts(load.dataset.target.name)
        if predictions is None or not fit_rows.whole:
            return self._waiting.wait(scoring_job_of(self._jobs, version, load, facts))
        score = Score.of_set(load, version, predictions.score, predictions.metrics)
        return replace(score, rows_fitted=facts["rows_fitted"])

    def _known(self, fingerprint: str, load: SetLoad, fit_rows: FitRows) -> Trained | None:
        """Return the version this training gave before, unless MLflow has lost it."""
        version = self._ledger.find_version(fingerprint)
        if version is None:
            return None
        try:
            pipeline = self._store.load(version)
        except ModelGone:
            return None
        if not fit_rows.whole:
            return version, pipeline, None
        dataset = load.dataset
        predictions = predict(pipeline, fit_rows.rows, dataset.target.name, dataset.classes)
        return version, pipeline, predictions

    def _fit_and_register(
        self,
        deployment: Deployment,
        load: SetLoad,
        fit_rows: FitRows,
        fingerprint: str,
    ) -> Trained:
        dataset, target, rows = load.dataset, load.dataset.target.name, fit_rows.rows
        if dataset.task == "classification" and rows[target].nunique() < 2:
            raise TrainingFailed("All rows have one class; at least two are needed.")
        started_ms = int(datetime.now(UTC).timestamp() * 1000)
        started_s = time.perf_counter()
        pipeline = fit(deployment, rows, target, dataset.classes)
        fit_s = time.perf_counter() - started_s
        try:
            predictions = predict(pipeline, rows, target, dataset.classes)
        except ScoringFailed as error:
            # E.g. more neighbours than rows: fitted, but of no use.
            raise TrainingFailed(error.message) from error
        registered = self._store.register(
            TrainingResult(
                deployment=deployment,
                dataset_name=dataset.name,
                dataset_version=dataset.version,
                content_hash=load.content_hash,
                classes=dataset.classes,
                fingerprint=fingerprint,
                pipeline=pipeline,
                features=features_of(rows, target),
                target_name=target,
                metrics=predictions.metrics,
                started_ms=started_ms,
                fit_s=fit_s,
                drawn_from=fit_rows.rows_in_set if fit_rows.sampled else None,
            )
        )
        version = self._ledger.record_version(
            registered,
            deployment,
            dataset_id=dataset.id,
            content_hash=load.content_hash,
            fingerprint=fingerprint,
        )
        self._store.keep(version, pipeline)
        return version, pipeline, predictions

    def _prepare(
        self, version: ModelVersion, pipeline: Pipeline, load: SetLoad, fit_rows: FitRows
    ) -> None:
        """Store the form that serves, compared on the testing set if that is loaded."""
        dataset = load.dataset
        held_out = testing_rows(self._sets, dataset.name, dataset.version) or held_out_of(
            "training set", dataset, fit_rows.rows
        )
        self._serving.prepare_trained(
            version,
            pipeline,
            held_out.columns,
            held_out.values,
            held_out.source,
            held_out.class_names,
        )

    def _deploy(self, trained: Deployment, version: ModelVersion) -> bool:
        """Put the version into the slot; False where another model was set meanwhile."""
        self._ledger.lock(SLOT_LOCK)
        newest = get_deployment(self._ledger)
        if not newest.is_of(trained.model_name, trained.hyperparameters, trained.source_run_id):
            return False
        if newest.model_version_id != version.id:
            self._ledger.add(
                CURRENT_SLOT,
                "train",
                serving=replace(self._ledger.serving(), current_version_id=version.id),
                configuration=Configuration(
                    newest.model_name, newest.hyperparameters, newest.source_run_id, version.id
                ),
                reason=f"trained on {version.dataset_name} version {version.dataset_version}",
                request_id=request_id(),
            )
        return True

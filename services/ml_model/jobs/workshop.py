"""The composition root of a child process: everything that work on jobs needs."""

from collections.abc import Mapping
from typing import Any

from jobkit.job import Job
from jobkit.service.job_runs import JobRuns
from ml_model.repository.drift_samples import DriftSamples
from ml_model.repository.jobs import TrainingJobs
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.model_store import MlflowModelStore
from ml_model.repository.model_uris import ModelUris
from ml_model.repository.scorings import SqlScorings
from ml_model.repository.serving_models import SqlServingModels
from ml_model.repository.serving_statistics import SqlServingStatistics
from ml_model.repository.sets import SqlSets
from ml_model.repository.trained_versions import SqlTrainedVersions
from ml_model.repository.training_rows import SqlTrainingRows
from ml_model.repository.training_traces import TrainingTraces
from ml_model.repository.versions import SqlVersions
from ml_model.service.bulk_scoring import BulkScoring
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.leftovers import Leftovers
from ml_model.service.online_training import OnlineTraining
from ml_model.service.retrain_job import RetrainJob
from ml_model.service.scoring_job import ScoringJob
from ml_model.service.serving_models import ServingModels
from ml_model.service.slots import SlotService
from ml_model.service.train_job import TrainJob
from ml_model.service.version_training import VersionTraining
from ml_model.settings import Settings
from mlflowrest.client import Mlflow
from servicekit.clients import ServiceClient
from servicekit.database import Database


class _Nobody:
    """No prediction is answered in this process: nothing here follows what serves."""

    def refresh(self) -> None:
        """Do nothing."""


class Workshop:
    """Works on jobs of every kind."""

    def __init__(self, settings: Settings, database: Database, runs: JobRuns) -> None:
        session = database.session
        mlflow = Mlflow(settings.mlflow_url)
        sets, ledger = SqlSets(session), SqlLedger(session)
        rows = SqlTrainingRows(session)
        versions = SqlTrainedVersions(session)
        simulator = ServiceClient(
            "simulator",
            settings.simulator_url,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
        )
        loading = DatasetLoading(database, sets, simulator)
        serving = ServingModels(
            database,
            SqlServingModels(session),
            sets,
            ModelUris(mlflow),
            capacity=settings.cached_models,
            allow_pickled=False,
        )
        training = VersionTraining(
            database, runs, versions, DriftSamples(mlflow), serving, settings.mlflow_url
        )
        slots = SlotService(
            database,
            ledger,
            SqlVersions(session),
            SqlServingStatistics(session),
            serving,
            _Nobody(),
        )
        self._leftovers = Leftovers(
            database, TrainingJobs(session), ledger, versions, TrainingTraces(mlflow)
        )
        store = MlflowModelStore(
            settings.mlflow_url,
            capacity=settings.cached_models,
            connect_timeout_s=settings.connect_timeout_s,
            read_timeout_s=settings.read_timeout_s,
        )
        bulk = BulkScoring(database, sets, SqlScorings(session), store)
        self._workers: Mapping[str, TrainJob | RetrainJob | ScoringJob] = {
            "scoring": ScoringJob(database, runs, ledger, bulk),
            "train": TrainJob(database, runs, sets, loading, training, settings.fit_max_rows),
            "retrain": RetrainJob(
                database,
                runs,
                sets,
                ledger,
                rows,
                loading,
                training,
                serving,
                slots,
                OnlineTraining(
                    database,
                    rows,
                    TrainingJobs(session),
                    ledger,
                    loading,
                    settings.retrain_threshold_rows,
                ),
                settings.fit_max_rows,
            ),
        }

    def work_on(self, job: Job, request: Mapping[str, Any]) -> None:
        """Work on a job to its end; see the class of its kind for what is raised."""
        self._workers[job.kind].work_on(job, request)

    def take_back(self, job_id: int) -> None:
        """Remove what a failed job left in MLflow; `MlflowUnavailable` while that is away."""
        self._leftovers.remove(job_id, "FAILED", keep_recorded=False)

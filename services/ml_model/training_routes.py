"""The routes that train: `/train`, the online loop and the jobs; wired here for `ml_model.app`."""

from jobkit.controller.jobs import JobResource
from jobkit.service.jobs import JobService
from ml_model.controller.jobs import CancelJobResource, JobsResource
from ml_model.controller.online_loop import (
    AddTrainingDataResource,
    TrainingDataResource,
    TriggerRetrainResource,
)
from ml_model.controller.train import TrainResource
from ml_model.repository.jobs import TrainingJobs
from ml_model.repository.ledger import SqlLedger
from ml_model.repository.sets import SqlSets
from ml_model.repository.training_rows import SqlTrainingRows
from ml_model.service.dataset_loading import DatasetLoading
from ml_model.service.online_training import OnlineTraining
from ml_model.service.train_requests import TrainRequests
from ml_model.settings import Settings
from servicekit.api import Route
from servicekit.clients import ServiceClient
from servicekit.database import Database


def training_routes(settings: Settings, database: Database) -> list[Route]:
    """Return the routes; nothing is connected."""
    session = database.session
    jobs = TrainingJobs(session)
    simulator = ServiceClient(
        "simulator",
        settings.simulator_url,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )
    loading = DatasetLoading(database, SqlSets(session), simulator)
    service = JobService(database, jobs)
    trainings = TrainRequests(
        service,
        loading,
        wait_s=settings.train_wait_s,
        most_waiting=max(1, settings.threads // 2),
    )
    online = OnlineTraining(
        database,
        SqlTrainingRows(session),
        jobs,
        SqlLedger(session),
        loading,
        settings.retrain_threshold_rows,
    )
    return [
        Route(TrainResource, "/train", {"requests": trainings}),
        Route(AddTrainingDataResource, "/add_training_data", {"online": online}),
        Route(TrainingDataResource, "/training_data", {"online": online}),
        Route(TriggerRetrainResource, "/trigger_retrain", {"online": online}),
        Route(JobsResource, "/jobs", {"jobs": service}),
        Route(JobResource, "/jobs/<int:job_id>", {"jobs": service}),
        Route(CancelJobResource, "/jobs/<int:job_id>/cancel", {"jobs": service}),
    ]

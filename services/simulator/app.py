"""The composition root of the simulator."""

from flask import Flask

from schema.sets import LoadedSets
from servicekit.api import Route
from servicekit.app import create_service
from servicekit.database import Database
from servicekit.upload import UploadRules
from simulator.controller.datasets import (
    DatasetExportResource,
    DatasetResource,
    DatasetRowsResource,
    DatasetsResource,
)
from simulator.controller.simulator import SimulatorResource
from simulator.service.dataset_import import DatasetImportService
from simulator.service.datasets import DatasetService
from simulator.service.set_loading import SetLoadingService
from simulator.settings import Settings

DATASETS = "/root/simulator/datasets"
DATASET = f"{DATASETS}/<string:dataset_name>"


def create_app(settings: Settings | None = None) -> Flask:
    """Wire the service; nothing connects before the first request."""
    settings = settings or Settings.load()
    database = Database(settings)
    loading = SetLoadingService(database)
    datasets = DatasetService(database, settings.upload_path)
    imports = DatasetImportService(database, settings.max_upload_bytes)
    return create_service(
        "simulator",
        settings,
        title="Cellar simulator",
        description=(
            "Takes tables, and loads training, testing and production sets of them; production is"
            " fouled."
        ),
        database=database,
        routes=[
            Route(SimulatorResource, "/root/simulator", {"service": loading}),
            Route(DatasetsResource, DATASETS, {"imports": imports, "datasets": datasets}),
            Route(DatasetResource, DATASET, {"datasets": datasets}),
            Route(DatasetRowsResource, f"{DATASET}/rows", {"datasets": datasets}),
            Route(DatasetExportResource, f"{DATASET}/export", {"datasets": datasets}),
        ],
        checks={"migrations": LoadedSets(database.session).check_head},
        uploads=UploadRules(settings.upload_path, settings.max_upload_bytes),
    )

"""The composition root of the simulator."""

from flask import Flask

from schema.sets import LoadedSets
from servicekit.api import Route
from servicekit.app import create_service
from servicekit.database import Database
from simulator.controller.simulator import SimulatorResource
from simulator.service.set_loading import SetLoadingService
from simulator.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Wire the service; nothing connects before the first request."""
    settings = settings or Settings.load()
    database = Database(settings)
    service = SetLoadingService(database)
    return create_service(
        "simulator",
        settings,
        title="Cellar simulator",
        description="Loads the training, testing and production sets; production is fouled.",
        database=database,
        routes=[Route(SimulatorResource, "/root/simulator", {"service": service})],
        checks={"migrations": LoadedSets(database.session).check_head},
    )

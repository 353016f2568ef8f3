"""`/root/simulator`."""

from flask_restful import Resource
from pydantic import Field

from contracts.vocabulary import DATASET_NAME_PATTERN, DEFAULT_DATASET, SetName, Split
from servicekit.api import endpoint
from servicekit.wire import AnswerModel, RequestModel
from simulator.service.scenarios import DEFAULT_SCENARIO
from simulator.service.set_loading import SetLoadingService

LARGEST_SEED = 2**32 - 1
LARGEST_VERSION = 2**31 - 1


class SimulatorAnswer(AnswerModel):
    """Who answers here."""

    name: str
    message: str


class LoadSetRequest(RequestModel):
    """Which set to load, of which dataset, and what happens to production."""

    set_name: SetName
    dataset_name: str = Field(
        default=DEFAULT_DATASET,
        pattern=DATASET_NAME_PATTERN,
        description="A built-in one, or one that was brought to `/root/simulator/datasets`",
    )
    dataset_version: int | None = Field(
        default=None, ge=1, le=LARGEST_VERSION, description="The newest one unless given"
    )
    seed: int = Field(default=42, ge=0, le=LARGEST_SEED, description="Of the split and the fouling")
    scenario: str = Field(
        default=DEFAULT_SCENARIO,
        max_length=40,
        description="What happens to the production set; training and testing stay clean",
    )
    split: Split | None = Field(
        default=None,
        description="How the sets are cut; the dataset's `default_split` unless given, which is"
        " stratified for built-in ones",
    )


class LoadSetAnswer(AnswerModel):
    """What is loaded now."""

    message: str
    set_name: SetName
    dataset_name: str
    dataset_version: int
    seed: int
    scenario: str = Field(description="What was applied: `clean` unless production")
    split: Split = Field(
        description="How the set was cut: `random` where `stratified` is not possible"
    )
    rows: int
    missing_cells: int
    changed: bool = Field(description="False where the same rows were loaded already")
    warnings: list[str]


class SimulatorResource(Resource):  # type: ignore[misc]
    """Says who it is; loads sets."""

    def __init__(self, service: SetLoadingService) -> None:
        self._service = service

    @endpoint(summary="Who answers here", answers={200: SimulatorAnswer})
    def get(self) -> SimulatorAnswer:
        """Returns the simulator's name."""
        return SimulatorAnswer(name="DataSimulator", message="Simulator")

    @endpoint(
        summary="Load the training, testing or production set",
        body=LoadSetRequest,
        answers={200: LoadSetAnswer},
        errors=(404, 409, 422),
        example={"set_name": "training"},
    )
    def post(self, body: LoadSetRequest) -> LoadSetAnswer:
        """Splits the dataset by the seed and stores one of its sets; production is fouled.

        Sent again, it changes nothing. Other rows than those loaded replace them, together with
        the predictions models made of the old ones. Fails on an unknown dataset (404), an unknown
        scenario or a split for which the dataset has no column (400); 409 where only sets of that
        version are stored.
        """
        loaded = self._service.load(
            body.set_name,
            body.dataset_name,
            body.seed,
            body.scenario,
            body.dataset_version,
            body.split,
        )
        return LoadSetAnswer(
            message=f"Load {loaded.set_name} set",
            set_name=loaded.set_name,
            dataset_name=loaded.dataset_name,
            dataset_version=loaded.dataset_version,
            seed=loaded.seed,
            scenario=loaded.scenario,
            split=loaded.split,
            rows=loaded.row_count,
            missing_cells=loaded.missing_cells,
            changed=loaded.changed,
            warnings=list(loaded.warnings),
        )

"""From an optimization request to what each model's search does."""

from contracts.tracking import Distribution, OptimizationRequest
from modelkit.pipeline_choices import CALIBRATION, PREPROCESSING
from tracking.domain import SearchPlan
from tracking.service.search_space import Space


def plan_of(request: OptimizationRequest, model_name: str) -> SearchPlan:
    """Return the plan of one model of a request.

    What the request chooses for all pipelines comes on top of the model's own grid, which goes
    before it.
    """
    return SearchPlan(
        model_name,
        {**_choices_of_all(request), **_own_grid(request, model_name)},
        request.scoring,
        request.cv,
        strategy=request.strategy,
        n_candidates=request.n_candidates,
        time_budget_s=request.time_budget_s,
        seed=request.seed,
        nested_folds=request.nested_cv,
    )


def _own_grid(request: OptimizationRequest, model_name: str) -> Space:
    """Return a model's own grid as it came in the JSON."""
    return {
        name: choices.model_dump(exclude_defaults=True)
        if isinstance(choices, Distribution)
        else choices
        for name, choices in request.hyperparameters.get(model_name, {}).items()
    }


def _choices_of_all(request: OptimizationRequest) -> Space:
    given = request.preprocessing
    choices = {} if given is None else given.model_dump(exclude_none=True)
    of_all = {f"{PREPROCESSING}{name}": values for name, values in choices.items()}
    return of_all if request.calibration is None else {**of_all, CALIBRATION: [request.calibration]}

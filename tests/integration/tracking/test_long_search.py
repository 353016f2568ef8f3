"""Training sets with more rows than may be fitted: the search is on a sample, and says so."""

from typing import Any

from sqlalchemy.orm import scoped_session, sessionmaker

import tracking.app
from tests.integration.tracking.conftest import Lab
from tracking.repository.training_set import TrainingSets


def searched(lab: Lab, fit_max_rows: int) -> tuple[Any, Any]:
    """Search with such a limit; return `data` and the run."""
    settings = lab.settings.model_copy(update={"fit_max_rows": fit_max_rows})
    answer = (
        tracking.app.create_app(settings)
        .test_client()
        .post("/root/tracking/model_management", json=lab.optimization())
    )
    assert answer.status_code == 201, answer.text
    data = answer.get_json()["data"]
    return data, lab.client.get_run(data["run_ids"]["DecisionTree"])


def test_a_long_set_is_searched_on_a_sample(lab: Lab) -> None:
    data, run = searched(lab, 60)
    assert "a sample of 60 of the set's 106 rows" in data["notes"][0]
    assert run.data.params["data_samples"] == "60"
    [version] = lab.client.search_model_versions(f"run_id = '{run.info.run_id}'")
    for tags in (run.data.tags, version.tags):
        assert (tags["cellar.rows_fitted"], tags["cellar.rows_in_set"]) == ("60", "106")
    again = searched(lab, 60)[1].data.metrics
    scores = [name for name in again if name.startswith("model_")]
    assert {name: run.data.metrics[name] for name in scores} == {
        name: again[name] for name in scores
    }


def test_a_set_at_the_limit_is_searched_whole(lab: Lab) -> None:
    data, run = searched(lab, 106)
    assert data["notes"] == []
    assert run.data.params["data_samples"] == "106"
    assert "cellar.rows_fitted" not in run.data.tags


def test_a_sample_of_another_size_is_other_rows(lab: Lab) -> None:
    sets = []
    with lab.database.session("cellar_tracking") as session:
        scoped = scoped_session(sessionmaker(session.bind))
        for fit_max_rows in (60, 80, 106, 107):
            sets.append(TrainingSets(scoped, fit_max_rows).get("wine", None))
        scoped.remove()
    keys = [found.rows_key for found in sets]
    # A limit that does not bite leaves the set's own.
    assert keys[2] == keys[3] == sets[0].content_hash
    assert len(set(keys)) == 3

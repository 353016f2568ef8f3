"""Labels in any order, what they say, the history of predictions, figures, retention."""

import math
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.ml_model.slots_lab import SlotsLab, make_slots_lab
from tests.support.databases import TestDatabase

ONE, TWO, HOUSE = "models:/flower/1", "models:/flower/2", "models:/house/1"


@pytest.fixture
def lab(cellar_database: TestDatabase) -> SlotsLab:
    """Two versions in the slots."""
    lab = make_slots_lab(cellar_database)
    lab.put(ONE, TWO)
    return lab


def label(lab: SlotsLab, number: int, value: Any, **more: Any) -> Any:
    return lab.ask("POST", "/labels", {"request_id": f"r{number}", "label": value} | more)


def quality(lab: SlotsLab, query: str = "") -> list[Any]:
    return list(lab.ask("GET", f"/quality{query}")["quality"])


class TestLabels:
    """The truth, late and in any order."""

    def test_before_and_after_the_prediction(self, lab: SlotsLab) -> None:
        early = label(lab, 0, 0)
        assert (early["stored"], early["matched"]) == (1, 0)
        lab.log(ONE, "current", [0, 0])
        late = label(lab, 1, 1)
        assert (late["stored"], late["matched"]) == (1, 1)
        assert label(lab, 0, 0)["matched"] == 1
        [found] = quality(lab)
        assert (found["labelled"], found["accuracy"]) == (2, 0.5)

    def test_the_same_again_changes_nothing(self, lab: SlotsLab) -> None:
        label(lab, 0, 2)
        before = lab.database.rows("SELECT * FROM labels")
        answer = label(lab, 0, 2)
        assert (answer["stored"], answer["changed"], answer["unchanged"]) == (0, 0, 1)
        assert lab.database.rows("SELECT * FROM labels") == before

    def test_another_label_replaces_the_first(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [2])
        label(lab, 0, 1)
        answer = label(lab, 0, 2)
        assert (answer["stored"], answer["changed"], answer["unchanged"]) == (0, 1, 0)
        assert quality(lab)[0]["accuracy"] == 1

    def test_many_rows_of_many_requests(self, lab: SlotsLab) -> None:
        for row in range(3):
            lab.log(ONE, "current", [0] * 2, row=row)
        labels = [
            {"request_id": f"r{number}", "row": row, "label": 0}
            for number in range(3)
            for row in range(3)
        ]
        answer = lab.ask("POST", "/labels", {"labels": labels})
        assert (answer["stored"], answer["matched"]) == (9, 6)
        assert lab.ask("POST", "/labels", {"labels": labels[::-1]})["unchanged"] == 9

    def test_a_repetition_within_a_request_counts_once_a_contradiction_is_refused(
        self, lab: SlotsLab
    ) -> None:
        one, other = {"request_id": "r", "label": 1}, {"request_id": "r", "label": 2}
        assert lab.ask("POST", "/labels", {"labels": [one, one]})["stored"] == 1
        status, message = lab.refused("POST", "/labels", {"labels": [other, one]})
        assert status == 400 and "two labels" in message
        assert lab.database.rows("SELECT label FROM labels") == [("1",)]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"request_id": "r"},
            {"label": 1},
            {"request_id": "r", "label": None},
            {"request_id": "r", "label": [1]},
            {"request_id": "r", "label": ""},
            {"request_id": "", "label": 1},
            {"request_id": "r", "label": 1, "row": -1},
            {"request_id": "r", "label": 1, "labels": [{"request_id": "r", "label": 1}]},
            {"labels": []},
            {"labels": [{"request_id": "r"}]},
            {"labels": [{"request_id": "r", "label": 1, "rows": 2}]},
        ],
    )
    def test_what_cannot_be_a_label(self, lab: SlotsLab, body: dict[str, Any]) -> None:
        assert lab.refused("POST", "/labels", body)[0] == 400
        assert lab.database.rows("SELECT count(*) FROM labels") == [(0,)]

    def test_senders_of_the_same_labels_do_not_lock_each_other_out(self, lab: SlotsLab) -> None:
        labels = [{"request_id": f"r{number}", "label": 0} for number in range(300)]
        gate = threading.Barrier(4)
        statuses: list[int] = []

        def send(order: int) -> None:
            gate.wait()
            for value in range(5):
                body = {"labels": [item | {"label": value} for item in labels[::order]]}
                statuses.append(lab.service.send("POST", "/labels", body)[0])

        threads = [threading.Thread(target=send, args=(order,)) for order in (1, -1, 1, -1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 20


class TestQuality:
    """How right each version was."""

    @pytest.mark.parametrize("value", [1, 1.0, "1", "versicolor"])
    def test_a_class_may_be_written_in_many_ways(self, lab: SlotsLab, value: Any) -> None:
        lab.log(ONE, "current", [1])
        label(lab, 0, value)
        assert quality(lab)[0]["accuracy"] == 1

    @pytest.mark.parametrize("value", [0, 11, 1.5, "10", "setosa", "", True])
    def test_but_not_in_any_way(self, lab: SlotsLab, value: Any) -> None:
        lab.log(ONE, "current", [1])
        if value == "":
            value = " "
        label(lab, 0, value)
        assert quality(lab)[0]["accuracy"] == 0

    def test_a_class_of_truth_values(self, lab: SlotsLab) -> None:
        lab.database.execute("UPDATE serving_models SET classes = '[false, true]',"
                             " class_names = '[\"no\", \"yes\"]'")  # fmt: skip
        lab.log(ONE, "current", ["True"] * 4)
        for number, value in enumerate([True, "yes", False, "no"]):
            label(lab, number, value)
        assert quality(lab)[0]["accuracy"] == 0.5

    def test_versions_and_shadows_stand_apart(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0, 0, 1, 1])
        lab.log(TWO, "shadow", [0, 0, 0, 0])
        lab.log(TWO, "next", [0, 2], first=10)
        lab.log(ONE, "current", [ValueError("no")], first=20)
        for number in (0, 1, 2, 3, 10, 11, 20):
            label(lab, number, 0)
        found = {
            (item["model_version"], item["shadow"]): (item["predictions"], item["accuracy"])
            for item in quality(lab)
        }
        assert found == {
            ("1", False): (4, 0.5),
            ("2", False): (2, 0.5),
            ("2", True): (4, 1.0),
        }
        assert len(quality(lab, "?registered_model_name=flower&model_version=2")) == 2
        assert quality(lab, "?registered_model_name=house") == []

    def test_windows(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0] * 4, ago="10 min")
        lab.log(ONE, "current", [0] * 2, first=10, ago="90 min")
        lab.log(ONE, "current", [0], first=20, ago="40 h")
        for number in (0, 1, 2, 10):
            label(lab, number, 0 if number else 1)
        [found] = quality(lab, "?window_s=3600&windows=24")
        assert (found["predictions"], found["labelled"], found["accuracy"]) == (6, 4, 0.75)
        first, second = found["windows"]
        assert (first["labelled"], first["accuracy"]) == (3, pytest.approx(2 / 3))
        assert (second["labelled"], second["accuracy"]) == (1, 1.0)
        assert first["start"] == second["end"]
        end = datetime.fromisoformat(first["end"])
        assert abs((datetime.now(UTC) - end).total_seconds()) < 60

    def test_without_a_label_there_is_no_figure(self, lab: SlotsLab) -> None:
        assert quality(lab) == []
        lab.log(ONE, "current", [0])
        [found] = quality(lab)
        figures = ("accuracy", "mean_absolute_error", "r2")
        assert [found[name] for name in figures] == [None, None, None]
        assert (found["predictions"], found["labelled"]) == (1, 0)

    def test_a_regression(self, lab: SlotsLab) -> None:
        lab.put(HOUSE)
        lab.log(HOUSE, "current", [1.0, 2.0, 3.0, 9.0])
        for number, value in enumerate([1, 2.5, 4, "dear"]):
            label(lab, number, value)
        [found] = quality(lab)
        assert found["labelled"] == 3
        assert found["accuracy"] is None
        assert found["mean_absolute_error"] == pytest.approx(0.5)
        # 1 - (0 + 0.25 + 1) / sum of squares around the mean 2.5.
        assert found["r2"] == pytest.approx(1 - 1.25 / 4.5)

    def test_labels_that_cannot_be_squared(self, lab: SlotsLab) -> None:
        lab.put(HOUSE)
        lab.log(HOUSE, "current", [1.0, -1e308, 3.0])
        for number, value in enumerate([1e200, 1e308, 3.0]):
            label(lab, number, value)
        [found] = quality(lab)
        assert found["labelled"] == 3
        assert found["mean_absolute_error"] > 1e69

    def test_r2_of_equal_labels_is_unknown(self, lab: SlotsLab) -> None:
        lab.put(HOUSE)
        lab.log(HOUSE, "current", [1.0, 2.0])
        label(lab, 0, 5)
        label(lab, 1, 5)
        assert quality(lab)[0]["r2"] is None


class TestHistory:
    """`GET /predictions/history`."""

    def test_an_entry(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [2], latency_ms=[1.25])
        label(lab, 0, "setosa")
        answer = lab.ask("GET", "/predictions/history")
        assert (answer["count"], answer["next_cursor"]) == (1, None)
        [entry] = answer["history"]
        created_at = datetime.fromisoformat(entry.pop("created_at"))
        assert abs((datetime.now(UTC) - created_at).total_seconds()) < 60
        assert entry == {
            "id": 1,
            "request_id": "r0",
            "row": 0,
            "inputs": {"sepal_length": 5.1, "petal_length": 1.4},
            "prediction": 2,
            "prediction_name": "virginica",
            "confidence": 0.7,
            "probabilities": {"setosa": 0.1, "versicolor": 0.2, "virginica": 0.7},
            "label": "setosa",
            "slot": "current",
            "registered_model_name": "flower",
            "model_version": "1",
            "latency_ms": 1.25,
            "error": None,
        }

    def test_newest_first_page_by_page(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0] * 10)
        seen, cursor = [], ""
        while True:
            page = lab.ask("GET", f"/predictions/history?limit=4{cursor}")
            seen += [entry["request_id"] for entry in page["history"]]
            if page["next_cursor"] is None:
                break
            # What comes in meanwhile moves nothing.
            lab.log(ONE, "current", [0], first=100 + len(seen))
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == [f"r{number}" for number in range(9, -1, -1)]

    def test_filters(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0] * 3, ago="2 h")
        lab.log(TWO, "next", [1] * 2, first=10)
        lab.log(TWO, "shadow", [1] * 3)

        def found(query: str) -> list[str]:
            page = lab.ask("GET", f"/predictions/history?{query}")
            return [entry["request_id"] for entry in page["history"]]

        assert found("") == ["r11", "r10", "r2", "r1", "r0"]
        assert len(found("shadow=true")) == 8
        assert found("registered_model_name=flower&model_version=1") == ["r2", "r1", "r0"]
        assert found("registered_model_name=house") == []
        assert found("request_id=r1") == ["r1"]
        hour_ago = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 3600, UTC)
        text = hour_ago.strftime("%Y-%m-%dT%H:%M:%SZ")
        assert found(f"since={text}") == ["r11", "r10"]
        assert found(f"until={text}") == ["r2", "r1", "r0"]

    @pytest.mark.parametrize(
        "query",
        ["limit=0", "limit=1001", "limit=x", "cursor=0", "cursor=x", f"cursor={2**63}",
         "since=now", "since=2026-01-01", "model_version=-1", "order=up"],
    )  # fmt: skip
    def test_refusals(self, lab: SlotsLab, query: str) -> None:
        assert lab.refused("GET", f"/predictions/history?{query}")[0] == 400

    def test_failures_and_numbers(self, lab: SlotsLab) -> None:
        lab.put(HOUSE)
        lab.log(HOUSE, "current", [2.5, ValueError("out of range")])
        label(lab, 0, 3)
        failed, well = lab.ask("GET", "/predictions/history")["history"]
        assert (failed["prediction"], failed["error"]) == (None, "out of range")
        assert (well["prediction"], well["prediction_name"], well["label"]) == (2.5, None, 3.0)
        assert well["probabilities"] is None and well["confidence"] is None


class TestMetrics:
    """`GET /metrics` and `GET /prometheus_metrics`."""

    def test_before_the_first_request(self, lab: SlotsLab) -> None:
        answer = lab.ask("GET", "/metrics")
        assert (answer["total_requests"], answer["average_latency_ms"]) == (0, 0)
        assert answer["model_versions"] == {} and answer["per_minute"] == []

    def test_figures(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0, 1], latency_ms=[10.0, 20.0])
        lab.log(ONE, "current", [0, 1], row=1)
        lab.log(TWO, "next", [2, ValueError("no")], first=10, latency_ms=[60.0, 999.0])
        lab.log(TWO, "shadow", [2, 2])
        label(lab, 0, 0)
        label(lab, 1, 0)
        answer = lab.ask("GET", "/metrics")
        assert (answer["total_requests"], answer["total_errors"]) == (4, 1)
        assert answer["total_predictions"] == 5
        assert answer["average_latency_ms"] == pytest.approx(30)
        one, two = answer["model_versions"]["flower/1"], answer["model_versions"]["flower/2"]
        assert (one["requests"], one["predictions"], one["average_latency_ms"]) == (2, 4, 15)
        assert (two["requests"], two["errors"], two["shadow_predictions"]) == (2, 1, 2)
        assert (one["accuracy"], two["accuracy"]) == (0.5, None)
        assert answer["predictions_by_class"] == {"0": 2, "1": 2, "2": 1}
        assert answer["retrainings"] == 0

    def test_a_request_that_current_answered_after_next_had_failed_is_one(
        self, lab: SlotsLab
    ) -> None:
        lab.log(TWO, "next", [ValueError("no")] * 2)
        lab.log(ONE, "current", [0])
        answer = lab.ask("GET", "/metrics")
        assert (answer["total_requests"], answer["total_errors"]) == (2, 1)
        assert answer["model_versions"]["flower/2"]["errors"] == 2
        [minute] = answer["per_minute"]
        assert (minute["requests"], minute["errors"]) == (2, 1)

    def test_sums_stay_right_while_rows_come_and_go(self, lab: SlotsLab) -> None:
        def total() -> int:
            return int(lab.ask("GET", "/metrics")["total_requests"])

        lab.log(ONE, "current", [0] * 3, ago="91 days")
        lab.log(ONE, "current", [0] * 4, first=10, ago="2 min")
        lab.log(ONE, "current", [0] * 5, first=20)
        assert [total(), total()] == [12, 12]
        lab.log(TWO, "next", [0], first=30)
        assert total() == 13
        with lab.app.app_context():
            lab.retention.delete_older(90)
        assert total() == 10
        # Rows that were new at the first look are settled by now, and counted once.
        lab.database.execute(
            "UPDATE prediction_log SET created_at = created_at - interval '1 hour'"
        )
        assert make_slots_lab(lab.database).ask("GET", "/metrics")["total_requests"] == 10

    def test_minutes(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0] * 3, latency_ms=[1.0, 2.0, 3.0], ago="5 min")
        lab.log(ONE, "current", [0, ValueError("no")], first=10, ago="10 min")
        lab.log(ONE, "current", [0], first=20, ago="3 h")
        first, second = lab.ask("GET", "/metrics")["per_minute"]
        assert (first["requests"], first["errors"], first["p50_ms"]) == (2, 1, 10)
        assert (second["requests"], second["p50_ms"]) == (3, 2)
        assert first["minute"] < second["minute"]
        assert len(lab.ask("GET", "/metrics?minutes=1440")["per_minute"]) == 3

    def test_the_gauge_of_the_accuracy_is_that_of_the_labels(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0, 0, 0])
        lab.log(TWO, "shadow", [0, 0, 0])
        for number, value in enumerate([0, 0, 1]):
            label(lab, number, value)
        text = lab.app.test_client().get("/prometheus_metrics").get_data(as_text=True)
        lines = [line for line in text.splitlines() if line.startswith("model_accuracy{")]
        [line] = lines
        name, _, value = line.rpartition(" ")
        assert name == 'model_accuracy{model_version="1",registered_model_name="flower"}'
        assert math.isclose(float(value), 2 / 3)

    def test_scraping_goes_on_without_the_database(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0])
        label(lab, 0, 0)
        lab.database.execute("ALTER TABLE labels RENAME TO elsewhere")
        answer = lab.app.test_client().get("/prometheus_metrics")
        assert answer.status_code == 200
        text = answer.get_data(as_text=True)
        assert "http_requests_total" in text and "model_accuracy{" not in text


class TestRetention:
    """The log does not grow for ever."""

    def counts(self, lab: SlotsLab) -> tuple[int, int]:
        [(predictions, labels)] = lab.database.rows(
            "SELECT (SELECT count(*) FROM prediction_log), (SELECT count(*) FROM labels)"
        )
        return predictions, labels

    def test_what_is_too_old_goes_in_chunks(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0] * 25, ago="91 days")
        lab.log(ONE, "current", [0] * 5, first=100, ago="89 days")
        for number in (0, 1, 100, 999):
            label(lab, number, 0)
        lab.database.execute("UPDATE labels SET created_at = now() - interval '91 days'"
                             " WHERE request_id <> 'r1'")  # fmt: skip
        with lab.app.app_context():
            assert lab.retention.delete_older(90, chunk=10) == 25
            assert lab.retention.delete_older(90, chunk=10) == 0
        # The label of a kept prediction stays, and so does one that is young.
        assert self.counts(lab) == (5, 2)

    def test_zero_days_keep_everything(self, lab: SlotsLab) -> None:
        lab.log(ONE, "current", [0] * 3, ago="3650 days")
        with lab.app.app_context():
            assert lab.retention.delete_older(0) == 0
        assert self.counts(lab)[0] == 3

    def test_the_housekeeping_looks_once_in_a_while(self, lab: SlotsLab) -> None:
        with lab.app.app_context():
            lab.retention.tick(90)
            lab.log(ONE, "current", [0], ago="91 days")
            lab.retention.tick(90)
            assert self.counts(lab)[0] == 1

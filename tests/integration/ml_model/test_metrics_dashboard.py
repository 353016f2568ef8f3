"""The Grafana dashboard asks for nothing that the services do not export."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.ml_model.conftest import Lab
from tests.support.running_suite import ROOT

DASHBOARDS = sorted((ROOT / "services/grafana/dashboards").glob("*.json"))
# Given by Prometheus itself for every target.
OF_PROMETHEUS = {"up"}
WORDS = {"by", "sum", "rate", "increase", "topk", "histogram_quantile"}


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that a PromQL expression asks for."""
    bare = re.sub(r'"[^"]*"', "", expression)
    for inner in (r"\{[^}]*\}", r"\[[^\]]*\]", r"\bby \([^)]*\)"):
        bare = re.sub(inner, " ", bare)
    return set(re.findall(r"[a-z_][a-z0-9_]*", bare)) - WORDS


def labels_of(expression: str) -> set[str]:
    """Return the labels that it groups or chooses by, and those of its legend."""
    chosen = set(re.findall(r"(\w+)=~?", expression))
    grouped = {
        name.strip()
        for group in re.findall(r"\bby \(([^)]*)\)", expression)
        for name in group.split(",")
    }
    return chosen | grouped


def targets(dashboard: Path) -> list[dict[str, Any]]:
    panels = json.loads(dashboard.read_text())["panels"]
    return [target for panel in panels for target in panel["targets"]]


@pytest.fixture
def exported(lab: Lab) -> dict[str, set[str]]:
    """Return the labels of every sample that the service exports, by the sample's name."""
    client = lab.ml.app.test_client()
    client.get("/health")
    client.get("/nowhere")
    text = client.get("/prometheus_metrics").get_data(as_text=True)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        kinds = {
            "counter": [f"{family.name}_total"],
            "histogram": [f"{family.name}_{part}" for part in ("bucket", "sum", "count")],
        }
        for name in kinds.get(family.type, [family.name]):
            found[name] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_metric_of_the_dashboard_is_exported(
    dashboard: Path, exported: dict[str, set[str]]
) -> None:
    asked = {name for target in targets(dashboard) for name in metrics_of(target["expr"])}

    assert asked - set(exported) - OF_PROMETHEUS == set()
    # What the contract promises is on it.
    assert asked >= {
        "prediction_requests_total",
        "prediction_request_duration_seconds_bucket",
        "predictions_total",
        "model_accuracy",
        "retraining_triggered_total",
    }


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_requests_are_told_apart_by_labels_that_there_are(
    dashboard: Path, exported: dict[str, set[str]]
) -> None:
    for target in targets(dashboard):
        metrics = metrics_of(target["expr"]) & {
            "http_requests_total",
            "http_request_duration_seconds_bucket",
            "http_request_duration_seconds_sum",
        }
        for metric in metrics:
            assert labels_of(target["expr"]) <= exported[metric], target["expr"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_asks_the_provisioned_source(dashboard: Path) -> None:
    source = ROOT / "services/grafana/provisioning/datasources/prometheus.yml"
    (provisioned,) = yaml.safe_load(source.read_text())["datasources"]
    panels = json.loads(dashboard.read_text())["panels"]

    assert panels
    for panel in panels:
        assert panel["description"], panel["title"]
        for asking in (panel, *panel["targets"]):
            assert asking["datasource"]["uid"] == provisioned["uid"], panel["title"]


def test_prometheus_asks_every_service_where_its_container_answers(lab: Lab) -> None:
    asked = yaml.safe_load((ROOT / "services/prometheus/prometheus.yml").read_text())
    (job,) = asked["scrape_configs"]
    (targets,) = job["static_configs"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    answered = set()
    for name in ("simulator", "ml_model", "tracking", "monitoring"):
        # A host name with an underscore is not valid in a Host header: it has an alias.
        (host,) = compose[name].get("networks", {}).get("default", {}).get("aliases", [name])
        answered.add(f"{host}:{compose[name]['environment']['CELLAR_PORT']}")

    assert set(targets["targets"]) == answered
    assert lab.ml.app.test_client().get(job["metrics_path"]).status_code == 200
    mounted = {volume.partition(":")[0] for volume in compose["prometheus"]["volumes"]}
    mounted |= {volume.partition(":")[0] for volume in compose["grafana"]["volumes"]}
    for source in mounted - {"prometheus_data"}:
        assert (ROOT / source).exists()

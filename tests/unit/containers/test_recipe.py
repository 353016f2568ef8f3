"""The image recipe and the compose file agree with the code; no container is needed to see that."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "services"
DOCKERFILE = (SOURCES / "Dockerfile").read_text()
COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text()
SERVICES = ("simulator", "ml_model", "tracking", "monitoring")


def imported_packages(package: str) -> set[str]:
    """Return our own packages that `package` imports, directly or through others, with itself."""
    ours = {path.name for path in SOURCES.iterdir() if path.is_dir()}
    found: set[str] = set()
    waiting = {package}
    while waiting:
        name = waiting.pop()
        found.add(name)
        for module in (SOURCES / name).rglob("*.py"):
            for node in ast.walk(ast.parse(module.read_text())):
                if isinstance(node, ast.Import):
                    names = {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = {node.module.split(".")[0]}
                else:
                    continue
                waiting |= (names & ours) - found
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_the_packages_that_its_service_imports(service: str) -> None:
    shared = re.search(rf'^ *{service}\) +shared="([\w ]*)"', DOCKERFILE, re.M)

    assert shared is not None
    assert {"servicekit", "contracts", service, *shared[1].split()} == imported_packages(service)


def test_the_label_names_the_version_of_the_code() -> None:
    version = re.search(r'^VERSION = "(.+)"', (SOURCES / "servicekit/version.py").read_text(), re.M)
    argument = re.search(r"^ARG VERSION=(.+)$", DOCKERFILE, re.M)

    assert version is not None
    assert argument is not None
    assert argument[1] == version[1]


def test_every_variable_of_the_compose_file_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", COMPOSE_FILE))
    explained = set(re.findall(r"^#? ?(\w+)=", (ROOT / ".env.example").read_text(), re.M))

    assert used - explained == set()


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_handed_every_setting_of_its_service_and_no_other(service: str) -> None:
    given = yaml.safe_load(COMPOSE_FILE)["services"][service]["environment"]
    settings = import_module(f"{service}.settings").Settings.model_fields

    # Where the image and the network of the containers leave nothing to choose.
    fixed = {
        "database_port",
        "database_name",
        "mlflow_database_name",
        "mlflow_port",
    }
    assert set(given) == {f"CELLAR_{name.upper()}" for name in set(settings) - fixed}


def test_nothing_asks_a_registry_for_more_than_the_base_images() -> None:
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.M))
    # What a profile brings is asked for by name, and only by those who want it.
    services = yaml.safe_load(COMPOSE_FILE)["services"].values()
    pulled = {each["image"] for each in services if "image" in each and "profiles" not in each}

    assert bases | pulled == {"python:3.13-slim", "postgres:17"}
    assert "# syntax=" not in DOCKERFILE


def test_what_a_profile_brings_is_pinned_and_has_no_rights_either() -> None:
    services = yaml.safe_load(COMPOSE_FILE)["services"]
    extra = {name: each for name, each in services.items() if "profiles" in each}

    assert {name: each["profiles"] for name, each in extra.items()} == {
        "dask_scheduler": ["dask"],
        "dask_worker": ["dask"],
        "s3": ["s3"],
        "s3_bucket": ["s3"],
        "prometheus": ["metrics"],
        "grafana": ["metrics"],
    }
    for name, each in extra.items():
        assert each["cap_drop"] == ["ALL"] and each["read_only"], name
        assert each["mem_limit"], name
        tag = each.get("image", "ours:1.0").partition(":")[2]
        assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag), name


def test_the_bucket_is_made_with_the_settings_of_the_server_that_fills_it() -> None:
    services = yaml.safe_load(COMPOSE_FILE)["services"]
    of_bucket = {
        name: value
        for name, value in services["s3_bucket"]["environment"].items()
        if "S3" in name or "ARTIFACTS" in name
    }

    assert of_bucket
    assert of_bucket.items() <= services["tracking"]["environment"].items()

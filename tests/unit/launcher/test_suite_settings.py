"""What `.env` says, and what each program is given of it."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from launcher.env_file import ensure_env_file, read_env_file
from launcher.errors import LaunchError
from launcher.places import ROOT, Places
from launcher.suite_settings import (
    OURS,
    PROGRAMS,
    SERVICE_OF,
    SERVICES,
    SuiteSettings,
    fields_of,
    password_variable,
    port_variable,
)

EXAMPLE = ROOT / ".env.example"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A freshly written `.env`."""
    ensure_env_file(tmp_path / ".env", EXAMPLE)
    return read_env_file(tmp_path / ".env")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of(str(tmp_path))


def test_the_example_gives_the_contracts_ports(variables: dict[str, str]) -> None:
    assert dict(SuiteSettings.of(variables).ports) == {
        "postgres": 5432,
        "ml_model": 5001,
        "tracking": 5002,
        "monitoring": 5003,
        "simulator": 5004,
        "mlflow": 5005,
    }


def test_every_setting_of_every_service_stands_in_the_example() -> None:
    text = EXAMPLE.read_text()
    explained = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))

    settable = {name for service in SERVICES for name in fields_of(service)}
    assert settable - explained == set()


def test_the_example_names_no_setting_that_no_service_has() -> None:
    text = EXAMPLE.read_text()
    named = set(re.findall(r"^#? ?(CELLAR_[A-Z0-9_]+)=", text, re.MULTILINE))

    settable = {name for service in SERVICES for name in fields_of(service)}
    assert named - settable - set(map(password_variable, SERVICES)) == set()


def test_the_defaults_in_the_example_are_those_of_the_code() -> None:
    from importlib import import_module

    text = EXAMPLE.read_text()
    shown = dict(re.findall(r"^# (CELLAR_[A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    for service in SERVICES:
        fields = import_module(f"{service}.settings").Settings.model_fields
        for name, field in fields.items():
            if name not in OURS:
                value = shown[f"CELLAR_{name.upper()}"]
                read: object = TypeAdapter(type(field.default)).validate_strings(value)
                assert read == field.default, name


def test_every_program_has_its_own_role_and_password_and_no_others(
    variables: dict[str, str], places: Places
) -> None:
    settings = SuiteSettings.of(variables)
    secrets = {service: variables[password_variable(service)] for service in SERVICES}
    for program, service in SERVICE_OF.items():
        environment = settings.service_environment(program, places)
        assert environment["CELLAR_DATABASE_USER"] == f"cellar_{service}"
        assert environment["CELLAR_DATABASE_PASSWORD"] == secrets[service]
        others = {value for other, value in secrets.items() if other != service}
        others.add(variables["POSTGRES_PASSWORD"])
        assert others.isdisjoint(environment.values())


def test_a_services_own_setting_goes_to_that_service_only(
    variables: dict[str, str], places: Places
) -> None:
    settings = SuiteSettings.of(variables | {"CELLAR_SEARCH_JOBS": "1", "CELLAR_WORKERS": "3"})
    given = {name: settings.service_environment(name, places) for name in SERVICES}

    assert [name for name in SERVICES if "CELLAR_SEARCH_JOBS" in given[name]] == ["tracking"]
    assert {environment["CELLAR_WORKERS"] for environment in given.values()} == {"3"}


def test_every_service_takes_the_environment_that_it_is_given(
    variables: dict[str, str], places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import import_module

    settings = SuiteSettings.of(variables | {"MONITORING_PORT": "6003"})
    for service in SERVICES:
        with monkeypatch.context() as patch:
            for name, value in settings.service_environment(service, places).items():
                patch.setenv(name, value)
            loaded = import_module(f"{service}.settings").Settings.load()
        assert loaded.port == settings.ports[service]
        assert loaded.monitoring_url == "http://127.0.0.1:6003"


def test_a_misspelt_setting_is_named(variables: dict[str, str], places: Places) -> None:
    settings = SuiteSettings.of(variables | {"CELLAR_WROKERS": "3"})

    with pytest.raises(LaunchError, match="CELLAR_WROKERS"):
        settings.service_environment("simulator", places)


@pytest.mark.parametrize("value", ["0", "65536", "-1", "http", "5001.0", "٥٠٠١"])
def test_a_port_that_is_none_is_refused(variables: dict[str, str], value: str) -> None:
    with pytest.raises(LaunchError, match="MLFLOW_PORT"):
        SuiteSettings.of(variables | {"MLFLOW_PORT": value})


def test_two_programs_cannot_have_one_port(variables: dict[str, str]) -> None:
    with pytest.raises(LaunchError) as caught:
        SuiteSettings.of(variables | {"MLFLOW_PORT": "5001"})
    assert "MLFLOW_PORT" in caught.value.advice
    assert "ML_MODEL_PORT" in caught.value.advice


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", *map(password_variable, SERVICES)])
def test_a_missing_password_is_named(variables: dict[str, str], name: str) -> None:
    with pytest.raises(LaunchError, match=name):
        SuiteSettings.of(variables | {name: ""})


def test_what_cannot_be_handed_on_is_refused_without_being_shown(
    variables: dict[str, str],
) -> None:
    with pytest.raises(LaunchError) as caught:
        SuiteSettings.of(variables | {"POSTGRES_PASSWORD": 'hush"hush'})
    assert "hush" not in f"{caught.value}{caught.value.advice}{caught.value.detail}"


def test_programs_open_to_the_network_reach_each_other_on_this_machine(
    variables: dict[str, str], places: Places
) -> None:
    everywhere = "0.0.0.0"  # noqa: S104 - not bound to
    environment = SuiteSettings.of(variables | {"BIND_ADDRESS": everywhere}).service_environment(
        "simulator", places
    )
    assert environment["CELLAR_BIND_HOST"] == everywhere
    assert environment["CELLAR_MLFLOW_URL"] == "http://127.0.0.1:5005"


def test_a_server_of_ones_own_is_used(variables: dict[str, str], places: Places) -> None:
    given = {"POSTGRES_HOST": "db.example", "POSTGRES_PORT": "6000", "POSTGRES_USER": "admin"}
    settings = SuiteSettings.of(variables | given)

    environment = settings.service_environment("tracking", places)
    assert environment["CELLAR_DATABASE_HOST"] == "db.example"
    assert environment["CELLAR_DATABASE_PORT"] == "6000"
    assert settings.postgres_environment()["PGUSER"] == "admin"


def test_every_program_has_a_port_variable_in_the_example() -> None:
    values = read_env_file(EXAMPLE)
    assert {port_variable(program) for program in PROGRAMS} <= set(values)


def test_artifacts_are_in_the_state_folder_or_where_one_says(
    variables: dict[str, str], places: Places
) -> None:
    name = "CELLAR_MLFLOW_ARTIFACTS"
    usual = SuiteSettings.of(variables).service_environment("mlflow", places)
    bucket = {name: "s3://cellar/mlflow", "CELLAR_S3_ENDPOINT_URL": "http://127.0.0.1:8333"}
    chosen = SuiteSettings.of(variables | bucket).service_environment("mlflow", places)

    assert usual[name] == str(places.artifacts)
    assert {key: chosen[key] for key in bucket} == bucket

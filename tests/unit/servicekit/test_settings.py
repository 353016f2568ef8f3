"""Settings: read once, refused when misspelt, silent about secrets."""

import os

import pytest

from servicekit.settings import ServiceSettings, SettingsError

SECRET = "correct-horse-battery"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with just what is required."""
    for name in list(os.environ):
        if name.upper().startswith("CELLAR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CELLAR_DATABASE_HOST", "db")
    monkeypatch.setenv("CELLAR_DATABASE_USER", "cellar_simulator")
    monkeypatch.setenv("CELLAR_DATABASE_PASSWORD", SECRET)
    monkeypatch.setenv("CELLAR_PORT", "5004")
    return monkeypatch


def test_environment_is_read_and_the_rest_has_defaults(environment: pytest.MonkeyPatch) -> None:
    settings = ServiceSettings.load()
    assert settings.database_host == "db"
    assert settings.port == 5004
    assert settings.database_port == 5432
    assert settings.mlflow_url == "http://127.0.0.1:5005"


def test_values_win_over_the_environment(environment: pytest.MonkeyPatch) -> None:
    assert ServiceSettings.load(port=6000).port == 6000


@pytest.mark.parametrize("name", ["CELLAR_MODEL_PRT", "cellar_databse_host"])
def test_misspelt_variable_stops_the_start(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, SECRET)
    with pytest.raises(SettingsError, match=name) as caught:
        ServiceSettings.load()
    assert SECRET not in str(caught.value)


def test_other_peoples_variables_do_not_matter(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CELLARS_PORT", "1")
    environment.setenv("PORT", "1")
    assert ServiceSettings.load().port == 5004


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELLAR_PORT", "0"),
        ("CELLAR_PORT", "65536"),
        ("CELLAR_PORT", "five"),
        ("CELLAR_DATABASE_PORT", "x"),
        ("CELLAR_WORKERS", "0"),
        ("CELLAR_LOG_LEVEL", "LOUD"),
        ("CELLAR_CONNECT_TIMEOUT_S", "0"),
    ],
)
def test_wrong_value_names_the_variable_and_not_the_value(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        ServiceSettings.load()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["CELLAR_DATABASE_HOST", "CELLAR_DATABASE_PASSWORD", "CELLAR_PORT"]
)
def test_missing_variable_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    with pytest.raises(SettingsError, match=name):
        ServiceSettings.load()


def test_malformed_list_is_a_settings_error(environment: pytest.MonkeyPatch) -> None:
    class Listed(ServiceSettings):
        """Settings with a field that is read as JSON."""

        names: list[str] = []

    environment.setenv("CELLAR_NAMES", f"[{SECRET}")
    with pytest.raises(SettingsError, match="CELLAR_NAMES") as caught:
        Listed.load()
    assert SECRET not in str(caught.value)


def test_settings_do_not_show_the_password(environment: pytest.MonkeyPatch) -> None:
    settings = ServiceSettings.load()
    url = settings.database_url()
    for text in (repr(settings), str(settings), str(url), settings.model_dump_json()):
        assert SECRET not in text


def test_database_url_names_the_driver_and_escapes_the_password(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("CELLAR_DATABASE_PASSWORD", "p@ss/word:%")
    url = ServiceSettings.load().database_url("mlflow")
    assert url.drivername == "postgresql+psycopg2"
    assert url.password == "p@ss/word:%"
    assert url.database == "mlflow"
    assert "p@ss" not in url.render_as_string(hide_password=False)


def test_settings_cannot_be_changed(settings: ServiceSettings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_does() -> None:
    undocumented = [
        name for name, field in ServiceSettings.model_fields.items() if not field.description
    ]
    assert undocumented == []

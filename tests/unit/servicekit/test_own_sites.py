"""Who may change something: programs, and pages of the called address itself."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_restful import Resource

from servicekit.api import Route, endpoint
from servicekit.app import create_service
from servicekit.own_sites import OwnSites
from servicekit.settings import ServiceSettings
from tests.unit.servicekit.conftest import BottleAnswer

HERE = "127.0.0.1:5001"


class Bell(Resource):
    """Rings without a body."""

    @endpoint(summary="Ring", answers={200: BottleAnswer})
    def post(self) -> BottleAnswer:
        """Answers that it rang."""
        return BottleAnswer(message="rang")

    @endpoint(summary="Look", answers={200: BottleAnswer})
    def get(self) -> BottleAnswer:
        """Changes nothing."""
        return BottleAnswer(message="a bell")


@pytest.fixture
def app(settings: ServiceSettings) -> Flask:
    """A service called `wine_bell`, reached as `cellar.example.org` too."""
    over = {"allowed_hosts": "Cellar.example.org, ", "ml_model_url": "http://ml-model:5001"}
    return create_service(
        "wine_bell",
        settings.model_copy(update=over),
        title="Bell",
        routes=[Route(Bell, "/bell")],
    )


def ring(client: FlaskClient, host: str = HERE, **headers: str) -> int:
    """Send a bodyless POST and return the status; a refusal has the one shape."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.post("/bell", headers={"Host": host, **given})
    if answer.status_code != 200:
        assert set(answer.get_json()) == {"error", "message"}
        assert answer.headers["X-Request-ID"]
    return answer.status_code


@pytest.mark.parametrize(
    "host",
    [
        HERE,
        "localhost:5001",
        "LOCALHOST",
        "localhost.",
        "[::1]:5001",
        "192.168.1.7:5001",
        "wine_bell:5001",
        "ml-model:5001",
        "cellar.example.org",
        "CELLAR.example.org:443",
    ],
)
def test_a_program_may_ask_by_any_own_name(client: FlaskClient, host: str) -> None:
    assert ring(client, host) == 200


@pytest.mark.parametrize(
    "host", ["evil.com", "evil.com:5001", "localhost.evil.com", "127.0.0.1.nip.io", "::1", "["]
)
def test_by_a_name_that_somebody_pointed_here_nothing_changes(
    client: FlaskClient, host: str
) -> None:
    assert ring(client, host) == 403
    assert ring(client, host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == 403
    assert client.get("/bell", headers={"Host": host}).status_code in {200, 400}


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (f"http://{HERE}", HERE),
        ("http://localhost", "localhost:80"),
        ("https://localhost:443", "localhost"),
        # Behind a proxy that asks by an address of its own.
        ("https://cellar.example.org", HERE),
    ],
)
def test_an_own_page_may(client: FlaskClient, origin: str, host: str) -> None:
    assert ring(client, host, Origin=origin, Sec_Fetch_Site="same-origin") == 200
    assert ring(client, host, Origin=origin) == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.com",
        "null",
        "",
        "http://127.0.0.1:8888",
        "http://localhost:5001",
        "http://127.0.0.1:5001.evil.com",
        "http://127.0.0.1:many",
        "http://[",
        "file://127.0.0.1:5001",
    ],
)
def test_another_page_may_not(client: FlaskClient, origin: str) -> None:
    assert ring(client, Origin=origin) == 403
    assert client.get("/bell", headers={"Host": HERE, "Origin": origin}).status_code == 200


def test_what_a_browser_says_of_the_site_counts(client: FlaskClient) -> None:
    assert ring(client, Sec_Fetch_Site="cross-site") == 403
    assert ring(client, Sec_Fetch_Site="same-site") == 403
    assert ring(client, Origin=f"http://{HERE}", Sec_Fetch_Site="cross-site") == 403
    assert ring(client, Sec_Fetch_Site="none") == 200


def test_a_large_body_is_read_before_it_is_refused(app: Flask) -> None:
    answer = app.test_client().post(
        "/bell", data=b" " * 100_000, headers={"Host": HERE, "Origin": "http://evil.com"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
def test_a_call_without_a_body_takes_none_or_an_empty_object(
    client: FlaskClient, body: bytes
) -> None:
    assert client.post("/bell", data=body, content_type="application/json").status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"surprise": 1}', "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b" " * 5000, "application/json", 413),
    ],
)
def test_and_refuses_any_other(
    client: FlaskClient, body: bytes, content_type: str, status: int
) -> None:
    answer = client.post("/bell", data=body, content_type=content_type)
    assert answer.status_code == status
    assert "surprise" not in body.decode() or "surprise" in answer.get_json()["message"]


def test_only_what_changes_something_is_described_as_refusing(client: FlaskClient) -> None:
    operations = client.get("/openapi.json").get_json()["paths"]["/bell"]
    assert {"400", "403", "413", "415"} <= set(operations["post"]["responses"])
    assert not {"400", "403", "413", "415"} & set(operations["get"]["responses"])


def test_a_plain_request_is_one_of_a_program_by_an_own_name() -> None:
    sites = OwnSites(frozenset({"localhost"}), frozenset())
    assert sites.is_plain({"host": "localhost:5001"}) and sites.is_plain({})
    assert not sites.is_plain({"host": "evil.com"})
    assert not sites.is_plain({"host": HERE, "origin": f"http://{HERE}"})
    assert not sites.is_plain({"host": HERE, "sec-fetch-site": "cross-site"})

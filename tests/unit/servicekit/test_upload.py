"""Files that come in as forms: streamed to a folder, validated, gone afterwards."""

import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_restful import Resource
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Json
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser
from werkzeug.test import encode_multipart

from servicekit import upload
from servicekit.api import Route, endpoint
from servicekit.app import create_service
from servicekit.settings import ServiceSettings
from servicekit.upload import LARGEST_TEXT_BYTES, MOST_PARTS, UploadedFile, UploadRules
from servicekit.wire import AnswerModel, RequestModel

NAMELESS = b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"
MAX_BYTES = 8 * 1024 * 1024


class Letter(RequestModel):
    """A form with a file."""

    file: UploadedFile
    sender: str
    stamps: Json[dict[str, int]] | None = None


class Note(RequestModel):
    """The same as JSON, without a file."""

    text: str


class Received(AnswerModel):
    """What came in."""

    size: int
    name: str
    sender: str
    stamps: dict[str, int] | None


class LetterResource(Resource):  # type: ignore[misc]
    """Takes letters."""

    @endpoint(summary="Take a letter", body=Note, upload=Letter, answers={200: Received})
    def post(self, body: Note | Letter) -> Received:
        """Takes a letter."""
        if isinstance(body, Note):
            return Received(size=0, name="", sender=body.text, stamps=None)
        size = body.file.path.stat().st_size
        return Received(size=size, name=body.file.name, sender=body.sender, stamps=body.stamps)


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    service_settings = ServiceSettings(
        port=1, database_host="h", database_user="u", database_password="p", max_body_bytes=1024
    )
    return create_service(
        "post_office",
        service_settings,
        title="Post office",
        routes=[Route(LetterResource, "/letters")],
        uploads=UploadRules(tmp_path, MAX_BYTES),
    )


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def send(client: FlaskClient, content: bytes = b"hello", **fields: Any) -> Any:
    form = {"sender": "me", "file": FileStorage(io.BytesIO(content), "täble.csv"), **fields}
    given = {name: value for name, value in form.items() if value is not None}
    boundary, body = encode_multipart(given)
    return client.post(
        "/letters", data=body, content_type=f"multipart/form-data; boundary={boundary}"
    )


@pytest.mark.parametrize("size", [0, 1, 100_000, MAX_BYTES // 2])
def test_a_file_comes_in_whole_and_is_gone_afterwards(
    client: FlaskClient, tmp_path: Path, size: int
) -> None:
    answer = send(client, b"x" * size, stamps='{"red": 2}')
    assert answer.json == {
        "size": size,
        "name": "täble.csv",
        "sender": "me",
        "stamps": {"red": 2},
    }
    assert list(tmp_path.iterdir()) == []


def test_json_comes_in_on_the_same_path_within_its_own_limit(client: FlaskClient) -> None:
    assert client.post("/letters", json={"text": "hi"}).json["sender"] == "hi"
    assert client.post("/letters", json={"text": "x" * 1024}).status_code == 413


def test_what_is_too_large_is_refused(client: FlaskClient, tmp_path: Path) -> None:
    answer = send(client, b"x" * MAX_BYTES)
    assert answer.status_code == 413
    assert "CELLAR_MAX_UPLOAD_BYTES" in answer.json["message"]
    assert send(client, sender="x" * (LARGEST_TEXT_BYTES + 1)).status_code == 413
    # Texts are held in memory together.
    half = LARGEST_TEXT_BYTES // 2 + 1
    assert send(client, sender="x" * half).status_code == 200
    assert send(client, sender="x" * half, stamps="x" * half).status_code == 413
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"file": None}, "file"),
        ({"file": "text"}, "file"),
        ({"sender": None}, "sender"),
        ({"sender": FileStorage(io.BytesIO(b"x"), "name")}, "sender"),
        ({"stamps": "red"}, "stamps"),
        ({"stamps": '{"red": "many"}'}, "stamps.red"),
        ({"colour": "red"}, "colour"),
        ({"other": FileStorage(io.BytesIO(b"x"), "name")}, "other"),
        ({"sender": ["me", "you"]}, "sender"),
    ],
)
def test_a_wrong_part_is_named(client: FlaskClient, fields: dict[str, Any], path: str) -> None:
    answer = send(client, **fields)
    assert answer.status_code == 400, answer.text
    assert [item["path"] for item in answer.json["details"]] == [path]


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("multipart/form-data", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=file"),
        ("multipart/form-data; boundary=x", NAMELESS),
        ("multipart/form-data; boundary=\xff", b"--x--"),
        ("text/csv", b"a,b"),
    ],
)
def test_what_is_no_form_is_refused(client: FlaskClient, content_type: str, data: bytes) -> None:
    answer = client.post("/letters", data=data, content_type=content_type)
    assert answer.status_code == (415 if content_type == "text/csv" else 400), answer.text
    assert {"error", "message"} <= set(answer.json)


# Not a \r alone: what werkzeug makes of it depends on where its buffer ends.
PIECES = [b"\n", b"\r\n", b"-", b"--", b"x", b"--x", b"\r\n--x", b"a" * 70, b"\r\n--x\r\n"]
PART = b'\r\n--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'


def form(parts: Sequence[tuple[bytes, bytes | None, bytes]], end: bytes) -> bytes:
    """Return a form of names, names of files, and contents."""
    body = b"".join(
        PART % (name, b"" if file is None else b'; filename="%s"' % file) + content
        for name, file, content in parts
    )
    return body.removeprefix(b"\r\n") + end


def read_by_werkzeug(body: bytes) -> Any:
    """Return texts and contents of files, or None for what is no form."""
    parser = FormDataParser(lambda **_: io.BytesIO(), silent=False, max_form_parts=MOST_PARTS)
    try:
        _, texts, files = parser.parse(
            io.BytesIO(body), "multipart/form-data", len(body), {"boundary": "x"}
        )
    except ValueError:
        return None
    found = [(name, file.filename, file.read()) for name, file in files.items(multi=True)]
    return list(texts.items(multi=True)), found


def read_by_us(body: bytes, folder: Path) -> Any:
    """Return the same as we read it."""
    try:
        texts, files = upload._read_form(io.BytesIO(body), b"x", folder)
    except ValueError:
        return None
    # Of the same name in the order in which they came, as werkzeug has them.
    found = [(name, file.name, file.path.read_bytes()) for name, file in files]
    names = list(dict.fromkeys(name for name, *_ in texts))
    texts.sort(key=lambda item: names.index(item[0]))
    names = list(dict.fromkeys(name for name, *_ in found))
    found.sort(key=lambda item: names.index(item[0]))
    return texts, found


@settings(deadline=None, max_examples=300)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from([b"a", b"b"]),
            st.sampled_from([None, b"t.csv", b""]),
            # A mark at the very start would be taken for the part's end.
            st.just(b"")
            | st.lists(st.sampled_from(PIECES)).map(lambda some: b"c" + b"".join(some)),
        ),
        max_size=3,
    ),
    end=st.sampled_from([b"\r\n--x--\r\n", b"\r\n--x--", b"\n--x--\n", b"\r\n--x", b""]),
    read_bytes=st.integers(1, 40),
)
def test_a_form_is_read_as_werkzeug_reads_it(
    parts: list[tuple[bytes, bytes | None, bytes]], end: bytes, read_bytes: int
) -> None:
    body = form(parts, end)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        # Boundaries are then in the middle of what is taken at once, and everywhere else.
        patch.setattr(upload, "READ_BYTES", read_bytes)
        assert read_by_us(body, Path(folder)) == read_by_werkzeug(body)


@pytest.mark.parametrize("length", [1, 70])
def test_a_file_between_texts_comes_in_whole(tmp_path: Path, length: int) -> None:
    content = bytes(range(256)) * 2000
    parts = [(b"a", None, b"1"), (b"f", b"t", content * length), (b"b", None, b"2")]
    texts, files = read_by_us(form(parts, b"\r\n--x--\r\n"), tmp_path)
    assert texts == [("a", "1"), ("b", "2")]
    assert files == [("f", "t", content * length)]


def test_both_forms_are_described(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    content = document["paths"]["/letters"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    letter = document["components"]["schemas"]["Letter"]
    assert letter["properties"]["file"].items() >= {"type": "string", "format": "binary"}.items()
    assert letter["required"] == ["file", "sender"]

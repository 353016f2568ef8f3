"""Files that come in as `multipart/form-data`: written to a folder while they arrive.

A request model takes one by a field of the type `UploadedFile`; its other fields are the form's
text parts. See `endpoint(upload=...)`.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from flask import Request, current_app
from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from servicekit.errors import Invalid, Unavailable
from servicekit.request_body import refuse_repeated, validate_text
from servicekit.working_folder import working_folder

LARGEST_TEXT_BYTES = 1024 * 1024
"""Of all text parts and of what is held in memory while a file passes through."""

MOST_PARTS = 50

READ_BYTES = 64 * 1024
"""What is taken from a request at once."""


class MalformedForm(Invalid):
    """Malformed form."""

    advice = "Send multipart/form-data with a boundary, e.g. by `curl -F file=@table.csv`."


class NoRoomForUpload(Unavailable):
    """No room for the file."""

    advice = "The folder for uploads (CELLAR_UPLOAD_FOLDER) is full; try again later."


@dataclass(frozen=True)
class UploadRules:
    """Where files are written (the system's folder for temporary files if None), and how much."""

    folder: Path | None
    max_bytes: int


@dataclass(frozen=True)
class UploadedFile:
    """A file that came in. It and its folder are gone when the request is answered."""

    path: Path
    name: str

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.is_instance_schema(cls, cls_repr="file")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "binary"}


def is_upload(request: Request) -> bool:
    """Tell whether the body is a form with files."""
    return request.mimetype == "multipart/form-data"


@contextmanager
def received_upload(request: Request, model: type[BaseModel]) -> Iterator[BaseModel]:
    """Give the form as `model`; its files exist inside the block.

    Raises
    ------
    RequestEntityTooLarge
        The body is larger than the rules of the service allow (413).
    MalformedForm
        No boundary, or cut off.
    NoRoomForUpload
        The folder is full.
    InvalidRequest
        A part is missing, unknown, given twice or of the wrong type.
    """
    rules: UploadRules = current_app.extensions["cellar_uploads"]
    with ExitStack() as stack:
        folder = stack.enter_context(working_folder(rules.folder))
        yield validate_text(model, _parts(request, rules, folder))


def _parts(request: Request, rules: UploadRules, folder: Path) -> dict[str, str | UploadedFile]:
    request.max_content_length = rules.max_bytes
    boundary = request.mimetype_params.get("boundary", "")
    try:
        texts, files = _read_form(request.stream, boundary.encode("ascii"), folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoRoomForUpload() from error
        raise
    except ValueError as error:
        raise MalformedForm(f"{str(error).rstrip('.')}. {MalformedForm.advice}") from None
    if sum(file.path.stat().st_size for _, file in files) >= rules.max_bytes:
        # A body sent in chunks is cut off at the limit without a word.
        raise RequestEntityTooLarge()
    names = [name for name, _ in (*texts, *files)]
    if any(name is None for name in names):
        raise MalformedForm(f"A part of the form has no name. {MalformedForm.advice}")
    refuse_repeated(names)
    return {**dict(texts), **dict(files)}


def _read_form(
    stream: IO[bytes], boundary: bytes, folder: Path
) -> tuple[list[tuple[str, str]], list[tuple[str, UploadedFile]]]:
    """Return text parts and files by name; raises ValueError for what is no form."""
    if not boundary:
        raise ValueError("Missing boundary")
    decoder = MultipartDecoder(boundary, LARGEST_TEXT_BYTES, max_parts=MOST_PARTS)
    mark = b"--" + boundary
    texts: list[tuple[str, str]] = []
    files: list[tuple[str, UploadedFile]] = []
    text, text_bytes = bytearray(), 0
    with ExitStack() as stack:
        sink: BinaryIO | None = None
        part: File | Field | None = None
        while not isinstance(event := decoder.next_event(), Epilogue):
            if isinstance(event, NeedData):
                if sink is not None:
                    # In the middle of a file there is nothing to decode up to the next boundary.
                    held = bytes(decoder.buffer)
                    decoder.buffer.clear()
                    decoder.receive_data(_copy_before(mark, stream, held, sink))
                _receive(decoder, mark, stream)
            elif isinstance(event, File):
                path, part = folder / f"file-{len(files)}", event
                sink = stack.enter_context(path.open("wb"))
                files.append((event.name, UploadedFile(path, event.filename)))
            elif isinstance(event, Field):
                part = event
            elif isinstance(event, Data) and sink is not None:
                sink.write(event.data)
                if not event.more_data:
                    sink.close()
                    sink = None
            elif isinstance(event, Data) and isinstance(part, Field):
                text += event.data
                text_bytes += len(event.data)
                if text_bytes > LARGEST_TEXT_BYTES:
                    raise RequestEntityTooLarge()
                if not event.more_data:
                    texts.append((part.name, text.decode(errors="replace")))
                    text.clear()
    return texts, files


def _receive(decoder: MultipartDecoder, mark: bytes, stream: IO[bytes]) -> None:
    """Let the decoder have more of the stream, up to what may follow on a mark if there is one.

    Where a boundary's own end is not there yet, it takes a \\r in front of it for content.
    """
    data: bytes | None = None
    while data is None or (data and mark in decoder.buffer[-len(mark) - 3 :]):
        data = stream.read(READ_BYTES)
        decoder.receive_data(data or None)


def _copy_before(mark: bytes, stream: IO[bytes], held: bytes, sink: BinaryIO) -> bytes:
    """Write what comes before a mark, and return what was read and not written.

    It is a few bytes before the mark and all behind it, or the end of the stream. The decoder would
    copy everything three times.
    """
    # A line end may be in front of the mark, which may be half there.
    kept = len(mark) + 2
    while data := stream.read(READ_BYTES):
        held += data
        place = held.find(mark)
        written = max(0, (len(held) if place < 0 else place + len(mark)) - kept)
        sink.write(memoryview(held)[:written])
        held = held[written:]
        if place >= 0:
            break
    return held

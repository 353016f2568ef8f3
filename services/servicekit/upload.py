"""Files that come in as `multipart/form-data`: written to a folder while they arrive.

A request model takes one by a field of the type `UploadedFile`; its other fields are the form's
text parts. See `endpoint(upload=...)`.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from flask import Request, current_app
from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from servicekit.errors import Invalid, Unavailable
from servicekit.request_body import refuse_repeated, validate_text
from servicekit.working_folder import working_folder

LARGEST_TEXT_BYTES = 1024 * 1024
"""Of all text parts and of what is held in memory while a file passes through."""

MOST_PARTS = 50


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
        yield validate_text(model, _parts(request, rules, folder, stack))


def _parts(
    request: Request, rules: UploadRules, folder: Path, stack: ExitStack
) -> dict[str, str | UploadedFile]:
    request.max_content_length = rules.max_bytes
    opened: list[BinaryIO] = []

    def new_file(*_: object, **__: object) -> BinaryIO:
        opened.append(stack.enter_context((folder / f"file-{len(opened)}").open("wb+")))
        return opened[-1]

    parser = FormDataParser(
        new_file,
        max_form_memory_size=LARGEST_TEXT_BYTES,
        max_form_parts=MOST_PARTS,
        silent=False,
    )
    try:
        _, texts, files = parser.parse(
            request.stream, request.mimetype, request.content_length, request.mimetype_params
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoRoomForUpload() from error
        raise
    except ValueError as error:
        raise MalformedForm(f"{str(error).rstrip('.')}. {MalformedForm.advice}") from None
    for file in opened:
        file.flush()
    if sum(Path(file.name).stat().st_size for file in opened) >= rules.max_bytes:
        # A body sent in chunks is cut off at the limit without a word.
        raise RequestEntityTooLarge()
    lists: list[tuple[str, Any]] = [*texts.lists(), *files.lists()]
    if any(name is None for name, _ in lists):
        raise MalformedForm(f"A part of the form has no name. {MalformedForm.advice}")
    refuse_repeated([name for name, values in lists for _ in values])
    uploaded = {
        name: UploadedFile(Path(file.name), storage.filename or "")
        for (name, storage), file in zip(files.items(), opened, strict=True)
    }
    return {**texts.to_dict(), **uploaded}

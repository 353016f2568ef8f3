"""The MLflow server that `tracking.mlflow_server` runs: MLflow's own, which keeps what serves.

Looks at the calls that delete a run, an experiment, a registered model, a version or a logged
model, from whatever client they come; all others pass untouched.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from tracking.domain import Deletion, DeletionKind
from tracking.errors import StillDeployed
from tracking.mlflow_server import BACKEND_STORE, LEDGER_STORE
from tracking.service.deletion_check import DeletionCheck

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Server = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 3

CALLS: dict[tuple[str, str], tuple[DeletionKind, str]] = {
    ("POST", "runs/delete"): ("run", "run_id"),
    ("POST", "experiments/delete"): ("experiment", "experiment_id"),
    ("DELETE", "registered-models/delete"): ("registered model", "name"),
    ("DELETE", "model-versions/delete"): ("model version", "name"),
}
"""What is deleted by which call, and the key of the body that names it."""

_API = re.compile(r"/(?:ajax-)?api/[0-9.]+/mlflow/(.+)")
_LOGGED_MODEL = re.compile(r"logged-models/([^/]+)")

log = logging.getLogger(__name__)


class GuardedServer:
    """An ASGI application around MLflow's."""

    def __init__(self, server: Server, check: DeletionCheck) -> None:
        self._server = server
        self._check = check

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request: MLflow does, unless it would delete what is in use."""
        if scope["type"] != "http" or not deletes(scope["method"], scope["path"]):
            await self._server(scope, receive, send)
            return
        body = await _whole_body(receive)
        try:
            deletion = deletion_of(scope["method"], scope["path"], body)
        except (ValueError, RecursionError):
            text = f"The body is not a JSON object of at most {MOST_BODY_BYTES} bytes."
            await _refuse(send, 400, "INVALID_PARAMETER_VALUE", text)
            return
        if deletion is None:
            await self._server(scope, _again(body, receive), send)
            return
        holding = self._check.holding(deletion)
        try:
            await asyncio.to_thread(holding.__enter__)
        except StillDeployed as error:
            await _refuse(send, 409, "RESOURCE_CONFLICT", error.message)
            return
        except SQLAlchemyError as error:
            log.warning("Whether a %s is in use cannot be asked: %s", deletion.kind, error)
            text = (
                f"Whether the {deletion.kind} is in use cannot be asked of the database right now;"
                " try again in a moment."
            )
            await _refuse(send, 503, "TEMPORARILY_UNAVAILABLE", text)
            return
        try:
            await self._server(scope, _again(body, receive), send)
        finally:
            await asyncio.to_thread(holding.__exit__, None, None, None)


def guarded_server() -> GuardedServer:
    """Return MLflow's application with the guard; its environment is that of `mlflow_server`."""
    check = DeletionCheck(_engine(os.environ[LEDGER_STORE]), _engine(os.environ[BACKEND_STORE]))
    return GuardedServer(import_module("mlflow.server.fastapi_app").app, check)


def deletes(method: str, path: str) -> bool:
    """Tell whether a call deletes something that may be in use."""
    found = _API.fullmatch(path)
    return found is not None and (
        (method, found[1]) in CALLS
        or (method == "DELETE" and _LOGGED_MODEL.fullmatch(found[1]) is not None)
    )


def deletion_of(method: str, path: str, body: bytes) -> Deletion | None:
    """Return what a call that `deletes` names; None where it names nothing, which MLflow refuses.

    Reads the body as MLflow does: also JSON that is packed in a JSON string, and keys in camel
    case. ValueError where it is no JSON object or too long.
    """
    call = path.partition("/mlflow/")[2]
    if (method, call) not in CALLS:
        return Deletion("logged model", call.partition("/")[2])
    if len(body) > MOST_BODY_BYTES:
        raise ValueError(len(body))
    given = json.loads(body)
    if isinstance(given, str):
        given = json.loads(given)
    if not isinstance(given, dict):
        raise ValueError(type(given))  # noqa: TRY004 - the text is wrong, not the program
    kind, key = CALLS[method, call]
    first, *others = key.split("_")
    named = given.get(key, given.get(first + "".join(word.title() for word in others)))
    if named is None:
        return None
    return Deletion(kind, str(named), str(given.get("version", "")))


async def _whole_body(receive: Receive) -> bytes:
    """Read the body; of one that is too long only so much that this shows."""
    body = bytearray()
    while True:
        message = await receive()
        if len(body) <= MOST_BODY_BYTES:
            body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once more, then what comes after it."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again


async def _refuse(send: Send, status: int, code: str, text: str) -> None:
    """Answer in MLflow's own shape, so that its client and its pages show the text."""
    body = json.dumps({"error_code": code, "message": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _engine(url: str) -> Engine:
    # Deletions are rare: no connection is kept for them.
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "cellar-mlflow-guard"}
    return create_engine(url, poolclass=NullPool, connect_args=arguments)

"""`GET /dashboard`: the live page is monitoring's; who looks for it here is sent there."""

from urllib.parse import urlsplit

from flask import Response, request
from flask_restful import Resource

from servicekit.api import endpoint


class DashboardResource(Resource):  # type: ignore[misc]
    """`GET /dashboard`."""

    def __init__(self, port: int) -> None:
        self._port = port

    @endpoint(summary="Where the live page is", answers={307: None})
    def get(self) -> Response:
        """Sends on to monitoring's page, on the host by which this service was reached."""
        host = urlsplit(f"//{request.host}").hostname or "127.0.0.1"
        address = f"[{host}]" if ":" in host else host
        target = f"{request.scheme}://{address}:{self._port}/dashboard"
        return Response(status=307, headers={"Location": target})

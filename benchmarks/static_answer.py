"""The limit of a prediction over HTTP: the ML service's own server with an answer that is ready.

    CELLAR_PORT=5000 ... python benchmarks/static_answer.py ANSWER_FILE

Reads the request as the service does, computes nothing and stores nothing.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

from flask import Flask  # noqa: E402 - found by the line above

from servicekit import serve  # noqa: E402
from servicekit.async_gateway import HotAnswer, HotRoutes  # noqa: E402
from servicekit.settings import ServiceSettings  # noqa: E402


def main() -> None:
    """Serve until told to stop."""
    content = Path(sys.argv[1]).read_bytes()
    headers = [("content-type", "application/json"), ("x-request-id", "0" * 32)]

    async def answer(_headers: Any, _body: bytes) -> HotAnswer:
        return HotAnswer(200, headers, content)

    app = Flask("static_answer")
    routes = {("POST", "/predict"): answer}
    app.extensions["cellar_hot_routes"] = HotRoutes(routes, start=lambda _loop: None)
    serve._serve_with_event_loop(app, ServiceSettings.load())


if __name__ == "__main__":
    main()

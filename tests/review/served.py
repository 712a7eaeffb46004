"""A served page for tests, and requests to it as a browser would send them."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from crossmatch.review.desk import Desk
from crossmatch.review.web_server import ReviewServer
from crossmatch.runs.run import open_run


def desk_of(run: Path, data: Path, *, masks: tuple[Path, ...] = (), scans: tuple[Path, ...] = ()) -> Desk:
    return Desk(open_run(run), data, list(masks), list(scans))


@contextmanager
def served(desk: Desk) -> Iterator[ReviewServer]:
    """The page in a thread."""
    with ReviewServer(desk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def request(
    server: ReviewServer, path: str, *, method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers; `path` as it goes over the wire. Headers are named with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body if method == "POST" else None, given)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def asked(server: ReviewServer, name: str, *, body: bytes | None = None, **query: Any) -> tuple[int, Any]:
    """Status and answer, JSON or bytes."""
    base = urlsplit(server.address).path
    method = "GET" if body is None else "POST"
    status, answer, headers = request(server, f"{base}api/{name}?{urlencode(query)}", method=method, body=body or b"")
    return status, json.loads(answer) if headers["Content-Type"] == "application/json" else answer

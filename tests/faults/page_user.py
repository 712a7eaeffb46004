"""Somebody who works on the page of a review, in a thread of its process: looks at each open case and decides."""

import http.client
import json
import os
import signal
import threading
import webbrowser
from typing import Any
from urllib.parse import urlencode, urlsplit

SECONDS = 20.0  # that an answer may take
REJECTED = "unlabelled:case_003"  # all others are accepted


def use_the_page() -> None:
    """Let this process's browser be somebody who works: called before the command, which opens it."""
    webbrowser.open = _opened  # type: ignore[assignment]


def _opened(address: str) -> bool:
    threading.Thread(target=_work, args=(urlsplit(address),), daemon=True).start()
    return True


def _work(address: Any) -> None:
    try:
        for row in _asked(address, "cases", sort="name")["rows"]:
            if row["state"] == "open":
                _decide(address, row["id"])
        _asked(address, "end", body=b"")
    except Exception as error:  # the page cannot go on: its user closes it
        print(f"The page said: {error}", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)


def _decide(address: Any, ident: str) -> None:
    """Look at a case, draw, and accept or reject it."""
    case = _asked(address, "case", id=ident)
    _asked(address, "image", id=ident)
    if case["prediction"]:
        _asked(address, "layer", id=ident, what="prediction")
    x, y, z = case["shape"]
    mask = bytearray(x * y * z)  # x fastest
    mask[: x * y : 3] = b"\1" * len(mask[: x * y : 3])
    _asked(address, "draft", id=ident, body=bytes(mask))
    if ident == REJECTED:
        _asked(address, "draft", id=ident, drop=1, body=b"")
        _asked(address, "reject", id=ident, version=case["version"], body=b"")
    else:
        _asked(address, "accept", id=ident, version=case["version"], replace=1, body=bytes(mask))


def _asked(address: Any, name: str, *, body: bytes | None = None, **query: Any) -> Any:
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=SECONDS)
    try:
        path = f"{address.path}api/{name}?{urlencode(query)}"
        connection.request("GET" if body is None else "POST", path, body)
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(text.decode(errors="replace"))
        return json.loads(text) if response.getheader("Content-Type") == "application/json" else text
    finally:
        connection.close()

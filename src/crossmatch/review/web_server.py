"""The server behind the page: the standard library's, on this machine alone, for whoever knows the address.

- It listens on 127.0.0.1, so no other machine reaches it.
- Every address begins with a random token; without it there is nothing to find.
- A request must name this server as its host, so that no foreign name can be pointed at it (DNS rebinding), and must
  not come from a page of another origin.
- No part of an address is ever a path of a file: static files and cases are looked up in tables.
- The page may load nothing from elsewhere (Content-Security-Policy).
"""

import hmac
import json
import secrets
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from crossmatch.errors import UserError
from crossmatch.review.answers import ASKED, TOLD, Reply
from crossmatch.review.desk import ChangedError, Desk
from crossmatch.vendor import NIIVUE

HOST = "127.0.0.1"
MAX_BODY = 4 << 30  # bytes; a label map has a byte a voxel
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STATIC = Path(__file__).parent / "static"
STATIC = {path.name: path for path in (*_STATIC.iterdir(), NIIVUE) if path.suffix in _TYPES}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; "
    "form-action 'none'; base-uri 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _NoPageError(Exception):
    """An address that leads nowhere."""


class ReviewServer(ThreadingHTTPServer):
    """Serves one desk. `address` is what the browser opens.

    Raises:
        UserError: the port is in use.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, desk: Desk, port: int = 0) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"Port {port} cannot be used ({getattr(error, 'strerror', error)}): name another --port, or leave it "
                "out, and a free one is taken."
            ) from None
        self.desk = desk
        self.token = secrets.token_urlsafe(24)
        self.hosts = {f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"}

    @property
    def address(self) -> str:
        """With the token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "crossmatch", ""
    timeout = 120  # seconds a connection may be silent

    def do_GET(self) -> None:
        """Files of the page, and what it asks for."""
        self._answered(b"")

    def do_POST(self) -> None:
        """What the page tells."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY or not self._allowed():
            self.close_connection = True  # its body is not read
            self._send(403, _error("This request is not allowed."))
            return
        self._answered(self.rfile.read(int(length)))

    def _answered(self, body: bytes) -> None:
        if not self._allowed():
            self.close_connection = True
            self._send(403, _error("This request is not allowed: open the address that the terminal shows."))
            return
        try:
            status, reply = 200, self._reply(body)
        except ChangedError as error:
            status, reply = 409, _error(str(error), ask=True, version=self._version())
        except _NoPageError as error:
            status, reply = 404, _error(str(error))
        except UserError as error:
            status, reply = 422, _error(str(error))
        except MemoryError:
            status, reply = 422, _error("This case does not fit into memory: close other programs.")
        except Exception as error:  # a defect of ours: the terminal shows where, the page says so and goes on
            traceback.print_exc()
            status, reply = 500, _error(f"A defect of crossmatch: {type(error).__name__}: {error}")
        self._send(status, reply)

    def _allowed(self) -> bool:
        """Whether the request came to this server's own name, from its own page or from no page, with the token."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        token = urlsplit(self.path).path.split("/")[1] if self.path.startswith("/") else ""
        own = host in self.server.hosts and origin in (None, f"http://{host}") and site in ("none", "same-origin")
        return own and hmac.compare_digest(token.encode(), self.server.token.encode())

    def _query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    def _version(self) -> str:
        """The state of the case that was asked about, for the page to ask again with."""
        return self.server.desk.version(self.server.desk.case(self._query().get("id", "")))

    def _reply(self, body: bytes) -> Reply:
        parts = urlsplit(self.path).path.split("/")[2:]
        if self.command == "GET" and len(parts) == 1 and (path := STATIC.get(parts[0] or "index.html")):
            return Reply(path.read_bytes(), f"{_TYPES[path.suffix]}; charset=utf-8")
        known = ASKED if self.command == "GET" else TOLD
        if len(parts) != 2 or parts[0] != "api" or parts[1] not in known:
            raise _NoPageError("There is no such page.")
        reply = known[parts[1]](self.server.desk, self._query(), body)
        if parts[1] == "end":
            threading.Thread(target=self.server.shutdown).start()
        return reply

    def _send(self, status: int, reply: Reply) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.type)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the terminal shows the address alone."""


def _error(text: str, **more: object) -> Reply:
    return Reply(json.dumps({"error": text, **more}).encode())

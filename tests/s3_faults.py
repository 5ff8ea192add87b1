"""Stands between a client and an S3 server, and disturbs what they say to each other."""

import contextlib
import http.server
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

ERROR = (
    '<?xml version="1.0"?><Error><Code>{code}</Code><Message>secret-of-the-store</Message></Error>'
)


class Proxy(http.server.ThreadingHTTPServer):
    """Hands requests on, unless `disturb` does something else with one.

    Attributes:
        disturb: Takes the handler; what it returns tells whether it has answered.
        requests: Those that came, such as `GET /xrays/a.png`.
    """

    daemon_threads = True

    def __init__(self, upstream: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.disturb: Callable[[_Handler], bool] = lambda _: False
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _handle(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.server.disturb(self):
            self.send_answer(*self.ask())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def ask(self) -> tuple[int, dict, bytes]:
        """The server's answer. The request is signed for the proxy's address, as `Host` tells."""
        request = urllib.request.Request(
            self.server.upstream + self.path, self.body or None, dict(self.headers),
            method=self.command,
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def send_answer(
        self, status: int, headers: dict, content: bytes, sent: int | None = None, pause: float = 0
    ) -> None:
        """Sends an answer.

        Args:
            status: Of HTTP.
            headers: Of the answer.
            content: Its body.
            sent: Bytes of it that are sent, before the connection is cut; None for all.
            pause: Seconds before each kilobyte.
        """
        self.send_response(status)
        for name, value in headers.items():
            if name not in ("Transfer-Encoding", "Connection", "Date", "Server"):
                self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        whole = content if sent is None else content[:sent]
        step = 1024 if pause else max(1, len(whole))
        for start in range(0, len(whole), step):
            time.sleep(pause)
            self.wfile.write(whole[start : start + step])
        if sent is not None:
            self.close_connection = True

    def refuse(self, status: int, code: str) -> bool:
        """Answers with an error of S3's."""
        body = b"" if self.command == "HEAD" else ERROR.format(code=code).encode()
        self.send_answer(status, {"Content-Type": "application/xml"}, body)
        return True

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def between(upstream: str) -> Iterator[Proxy]:
    """Starts a proxy.

    Args:
        upstream: The server's address.
    """
    with Proxy(upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()

"""A Kubeflow Pipelines server in this process: the paths of the API v2beta1, and its faults."""

import contextlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOGIN_PAGE = b"<!DOCTYPE html><title>Log in</title>"


@dataclass
class Fault:
    """Something that goes wrong instead of an answer.

    Attributes:
        request: A pattern, such as `POST runs`.
        does: `drop` (after the request was carried out), `slow`, `page`, or a status of HTTP.
        times: How often.
        body: Of an answer with a status; default: a page. Of a redirection: `location`.
    """

    request: str
    does: str | int
    times: int = 10**6
    body: dict[str, Any] | None = None


@dataclass
class Fake:
    """The server's state, which tests read and set.

    Attributes:
        looks: What a run is like at each look at it, or a function that makes it happen; the last
            one stays.
        requests: Each as `POST runs`.
        tokens: What each had for authorization.
        uploads: Files.
    """

    token: str | None = None
    multi_user: bool = False
    things: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    looks: list[Any] = field(default_factory=lambda: [{"state": "SUCCEEDED"}])
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    uploads: list[bytes] = field(default_factory=list)
    url: str = ""

    def made(self, kind: str) -> list[dict[str, Any]]:
        """What was made of a kind, such as `runs`."""
        return self.things.get(kind, [])

    def counted(self, request: str) -> int:
        """How often it was asked."""
        return self.requests.count(request)

    def fault(self, request: str) -> Fault | None:
        """The fault that is due now."""
        for fault in self.faults:
            if fault.times > 0 and re.fullmatch(fault.request, request):
                fault.times -= 1
                return fault
        return None

    def add(self, kind: str, id_: str, thing: dict[str, Any]) -> dict[str, Any]:
        """Makes one."""
        made = self.things.setdefault(kind, [])
        made.append(thing | {id_: f"{kind}-{len(made) + 1}", "created_at": "2026-11-21T10:00:00Z"})
        return made[-1]

    def answer(self, verb: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        """What the API answers. A `KeyError` is a 404, a `ValueError` a 409."""
        match verb, path.split("/"):
            case "GET", ["healthz"]:
                return {"multi_user": self.multi_user}
            case "GET", ["pipelines" | "experiments" | "recurringruns" as kind]:
                found = _filtered(self.made(kind), query)
                name = {"recurringruns": "recurringRuns"}.get(kind, kind)
                return {name: found} if found else {}
            case "POST", ["pipelines"]:
                return self.add("pipelines", "pipeline_id", body)
            case "POST", ["pipelines", "upload"]:
                thing = {"display_name": query["name"]}
                return self.add("pipelines", "pipeline_id", thing)
            case "POST", ["pipelines", "upload_version"]:
                return self._version(query)
            case "GET", ["pipelines", pipeline, "versions"]:
                of = [v for v in self.made("versions") if v["pipeline_id"] == pipeline]
                return {"pipeline_versions": _filtered(of, query)}
            case "POST", ["experiments"]:
                return self.add("experiments", "experiment_id", body)
            case "POST", ["runs"]:
                return self.add("runs", "run_id", body)
            case "GET", ["runs", run]:
                thing = {r["run_id"]: r for r in self.made("runs")}[run]
                look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
                return thing | (look() if callable(look) else look)
            case "POST", ["recurringruns"]:
                return self.add("recurringruns", "recurring_run_id", body)
        raise KeyError(path)

    def _version(self, query: dict[str, str]) -> dict[str, Any]:
        thing = {
            "display_name": query["name"],
            "pipeline_id": query["pipelineid"],
            "description": query.get("description"),
        }
        names = {(v["pipeline_id"], v["display_name"]) for v in self.made("versions")}
        if (thing["pipeline_id"], thing["display_name"]) in names:
            raise ValueError(query["name"])
        return self.add("versions", "pipeline_version_id", thing)


def _filtered(things: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    if "filter" not in query:
        return things
    (predicate,) = json.loads(query["filter"])["predicates"]
    wanted = predicate["stringValue"]
    if predicate["operation"] == 9:
        return [t for t in things if wanted in t[predicate["key"]]]
    return [t for t in things if wanted == t[predicate["key"]]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: Fake

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def log_message(self, *args: Any) -> None:
        pass

    def _serve(self, verb: str) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/apis/v2beta1/")
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.fake.tokens.append(self.headers.get("Authorization"))
        if path == "/login":
            self._send(200, LOGIN_PAGE, "text/html")
            return
        request = f"{verb} {path}"
        self.fake.requests.append(request)
        fault = self.fake.fault(request)
        if fault and isinstance(fault.does, int):
            if 300 <= fault.does < 400:
                location = (fault.body or {}).get("location", "/login")
                self._send(fault.does, LOGIN_PAGE, "text/html", Location=location)
            elif fault.body is None:
                self._send(fault.does, b"<html>\xff a page of the gateway's</html>", "text/html")
            else:
                self._send(fault.does, json.dumps(fault.body).encode())
            return
        if fault and fault.does == "page":
            self._send(200, LOGIN_PAGE, "text/html")
            return
        if fault and fault.does == "slow":
            time.sleep(1)
        status, answer = self._answer(verb, path, query, raw)
        if fault and fault.does == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        with contextlib.suppress(OSError):
            self._send(status, json.dumps(answer).encode())

    def _answer(self, verb: str, path: str, query: dict[str, str], raw: bytes) -> tuple[int, Any]:
        if self.fake.token and self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            return 401, {"code": 16, "message": "Unauthenticated"}
        try:
            return 200, self.fake.answer(verb, path, query, self._body(raw))
        except KeyError:
            return 404, {"code": 5, "message": "Not Found"}
        except ValueError as error:
            return 409, {"code": 6, "message": f"Already exist error: {error}"}

    def _body(self, raw: bytes) -> Any:
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/"):
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            (part,) = message_from_bytes(head + raw).get_payload()
            self.fake.uploads.append(part.get_payload(decode=True))
            return None
        return json.loads(raw) if raw else None

    def _send(self, status: int, body: bytes, kind: str = "application/json", **more: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """A server, for as long as the context lasts."""
    fake = Fake()
    handler = type("Handler", (_Handler,), {"fake": fake})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        fake.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield fake
        server.shutdown()


def compiled(path: Path, name: str = "xrays", image: str = "trainer:1") -> Path:
    """A package such as ours: tasks in an exit handler whose exit task tells a status."""
    from kfp import compiler, dsl

    @dsl.container_component
    def train(text: str, steps: int):
        return dsl.ContainerSpec(image=image, command=["train", text, steps])

    @dsl.container_component
    def push():
        return dsl.ContainerSpec(image=image, command=["push"])

    @dsl.container_component
    def review(status: dsl.OutputPath(str)):
        return dsl.ContainerSpec(image=image, command=["review", status])

    @dsl.pipeline(name=name)
    def pipeline(data: str, root: str = "s3://root", steps: int = 3, fast: bool = False):
        with dsl.ExitHandler(review()):
            push().after(train(text=data, steps=steps))

    compiler.Compiler().compile(pipeline, str(path))
    return path

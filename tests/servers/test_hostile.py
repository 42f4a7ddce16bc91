"""`resnetgen serve` and clients that mean harm: other hosts and paths, large bodies, many connections."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers.process import Server, free_port, running
from servers.served import SPEC, Served, assert_answers, images

pytestmark = [pytest.mark.server, pytest.mark.serve]

INFER = f"/v2/models/{SPEC}/infer"
LIMIT = (32 << 20) + (64 << 10)
"""Of a body, for a model of a dynamic batch of small images."""
HALF_OPEN = 200
FILES = 192
"""Files that the server may open: fewer than the connections that it is asked for."""
Serve = Callable[..., Server]


def call(server: Server, request: bytes, *more: bytes) -> tuple[int, str]:
    """Send bytes, and return the status and the body of the answer; the server may close before all is sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        try:
            for part in (request, *more):
                connection.sendall(part)
        except OSError:
            pass
        return read(connection)


def read(connection: socket.socket) -> tuple[int, str]:
    answer = b""
    while b"\r\n\r\n" not in answer:
        if not (chunk := connection.recv(65536)):
            return 0, ""
        answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
    while len(body) < length and (chunk := connection.recv(65536)):
        body += chunk
    return int(head.split()[1]), body.decode()


def head(server: Server, method: str, path: str, *headers: str, host: str | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or server.address}", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def post(server: Server, body: bytes, *headers: str, path: str = INFER) -> tuple[int, str]:
    kind = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    return call(server, head(server, "POST", path, *kind, *headers), body)


def peak(server: Server) -> int:
    """Return the most memory that the server ever had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int((re.search(r"VmHWM:\s*(\d+) kB", status) or [0, 0])[1]) << 10


def question(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "input", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": [0] * 3072}
    return {"inputs": [tensor | changes]}


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()


def assert_well(server: Server, work: Path) -> None:
    """It answers as before, and has printed nothing but its two lines."""
    folder = server.log_file.stem
    with (served := Served(server, SPEC, work / folder / "model.onnx")).client:
        assert_answers(served, images(1))
    assert [line.split()[0] for line in server.log.splitlines()] == [str(served.file), "resnetgen"]


# Hosts and routes


def test_only_loopback_names_are_answered(serve_server: Server) -> None:
    port = serve_server.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert call(serve_server, head(serve_server, "GET", "/v2", host=host))[0] == 200
    for host in (f"evil.example:{port}", "evil.example", "127.0.0.1", f"127.0.0.1.evil.example:{port}", "\x80"):
        status, body = call(serve_server, head(serve_server, "GET", "/v2", host=host))
        assert status in (400, 421)
        assert status == 400 or "the host must be a loopback name" in json.loads(body)["error"]
    status, _ = call(serve_server, head(serve_server, "GET", "http://evil.example/v2"))
    assert status == 404


MODEL = f"/v2/models/{SPEC}"
OFF = [
    *(("GET", f"{of}/docs{what}") for of in ("/v2", MODEL, f"{MODEL}/versions/1") for what in ("", "/dataplane.json")),
    *(("GET", path) for path in ("/docs", "/redoc", "/openapi.json", "/metrics", "/v2/", "/", f"{MODEL}/")),
    *(("POST", f"{MODEL}/{what}") for what in ("generate", "generate_stream", "infer_stream", "load")),
    *(("POST", f"{MODEL}/versions/1/{what}") for what in ("generate", "generate_stream", "infer_stream")),
    *(("POST", f"/v2/repository/{what}") for what in ("index", f"models/{SPEC}/load", f"models/{SPEC}/unload")),
]


@pytest.mark.parametrize(("method", "path"), OFF)
def test_other_routes_are_off(serve_server: Server, method: str, path: str) -> None:
    kind = ("Content-Type: application/json", "Content-Length: 2")
    status, body = call(serve_server, head(serve_server, method, path, *kind), b"{}")
    assert status == 404
    assert "error" in json.loads(body)
    assert "<script" not in body


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", MODEL, f"{MODEL}/ready"])
def test_routes_of_the_protocol(serve_server: Server, path: str) -> None:
    assert call(serve_server, head(serve_server, "GET", path))[0] == 200
    status, body = call(serve_server, head(serve_server, "DELETE", path))
    assert (status, json.loads(body)) == (405, {"error": "Method Not Allowed"})


# The environment


def test_neither_the_environment_nor_a_file_changes_it(serve_python: str, serve_server: Server, work: Path) -> None:
    """Broken and hostile settings where uvicorn, Starlette and the servers of other projects look for them."""
    place = work / "hostile"
    place.mkdir(exist_ok=True)
    settings = {
        "UVICORN_PORT": "no number",
        "UVICORN_HOST": "0.0.0.0",
        "UVICORN_APP": "evil:app",
        "UVICORN_ROOT_PATH": "/elsewhere",
        "WEB_CONCURRENCY": "many",
        "FORWARDED_ALLOW_IPS": "*",
        "DEBUG": "true",
        "ALLOWED_HOSTS": "*",
        "MLSERVER_HTTP_PORT": "no number",
    }
    (place / ".env").write_bytes("".join(f"{k}={v}\n" for k, v in settings.items()).encode() + b"\xff\xfe=\x00\n")
    expected = call(serve_server, head(serve_server, "GET", "/v2"))
    for number, variables in enumerate(({}, settings)):
        port = free_port()
        command = ["bash", "-c", 'cd "$0" && exec "$@"', str(place), *program(serve_python, work, port)]
        with running(command, port, work / f"foreign{number}.log", os.environ | variables) as server:
            assert call(server, head(server, "GET", "/v2")) == expected
            assert post(server, as_json(question()))[0] == 200
            assert len(server.log.splitlines()) == 2


def program(python: str, work: Path, port: int) -> list[str]:
    return [python, "-m", "resnetgen.cli", "serve", str(work / "served"), "--port", str(port)]


# Bodies


def test_a_large_body_is_refused_before_memory_is_taken(serve_server: Server, work: Path) -> None:
    before = peak(serve_server)
    for size in (400_000_000, 10**18, LIMIT + 1):
        kind = ("Content-Type: application/json", f"Content-Length: {size}")
        status, body = call(serve_server, head(serve_server, "POST", INFER, *kind), b"[" * 1000)
        assert (status, json.loads(body)) == (
            413,
            {"error": f"the body is larger than {LIMIT:,} bytes, the limit for this model"},
        )
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    kind = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    assert call(serve_server, head(serve_server, "POST", INFER, *kind), *[chunk] * 400)[0] in (0, 413)
    assert call(serve_server, head(serve_server, "GET", "/v2", "Transfer-Encoding: chunked"), *[chunk] * 400)[0] in (
        0,
        413,
    )
    assert peak(serve_server) - before < 3 * LIMIT
    assert_well(serve_server, work)


def test_a_body_that_would_grow_is_refused(serve_server: Server, work: Path) -> None:
    before = peak(serve_server)
    packed = gzip.compress(b'{"inputs": [' + b" " * 300_000_000)
    status, body = post(serve_server, packed, "Content-Encoding: gzip")
    assert (status, json.loads(body)["error"]) == (415, "the body is compressed, which this server does not read")
    assert peak(serve_server) - before < 3 * LIMIT
    assert_well(serve_server, work)


BLOWN_UP = {
    "many inputs": (lambda: {"inputs": [1] * 5_000_000}, "Expected `object`, got `int` - at `$.inputs[0]`"),
    "repeated inputs": (lambda: {"inputs": question()["inputs"] * 500}, "500 inputs, the model takes 'input' alone"),
    "repeated outputs": (lambda: question() | {"outputs": [{"name": "output"}] * 2}, "an output is requested twice"),
    "many outputs": (lambda: question() | {"outputs": [{"name": "output"}] * 500_000}, "an output is requested twice"),
    "many dimensions": (lambda: question(shape=[1] * 1_000_000), "Expected `array` of length <= 16"),
    "dimensions that are texts": (lambda: question(shape=["a"] * 1_000_000), "Expected `int`, got `str`"),
    "a long text": (lambda: question(data=["a" * 1_000_000] + [""] * 100_000), "are not numbers"),
    "a long name": (lambda: question(name="\x1b" * 1_000_000), "unexpected input '"),
    "a long id": (lambda: question() | {"id": "a" * 1_000_000}, "Expected `str` of length <= 256"),
    "many levels": (lambda: question(data=[[[[1]]]]), "has 1 values, its shape"),
    "many fields": (lambda: question() | {str(number): {} for number in range(1_000_000)}, ""),
}
"""Functions that return a request, called when it is sent: they are large."""


@pytest.mark.parametrize("kind", BLOWN_UP)
def test_a_request_that_would_blow_up(serve_server: Server, work: Path, kind: str) -> None:
    document, said = BLOWN_UP[kind]
    before = peak(serve_server)
    status, body = post(serve_server, as_json(document()))
    if said:
        assert status == 400
        assert said in json.loads(body)["error"]
    assert len(body) < 5000
    assert peak(serve_server) - before < 8 * LIMIT
    assert_well(serve_server, work)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_deep_request(serve_server: Server, work: Path, depth: int) -> None:
    body = as_json(question(data="deep")).replace(b'"deep"', b"[" * depth + b"]" * depth)
    assert post(serve_server, body)[0] == 400
    assert_well(serve_server, work)


def test_a_request_of_another_content_type(serve_server: Server, work: Path) -> None:
    """A web page can send the types of forms and texts to any site without asking it first."""
    body = as_json(question())
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = (f"Content-Type: {kind}", f"Content-Length: {len(body)}")
        status, answer = call(serve_server, head(serve_server, "POST", INFER, *headers), body)
        assert (status, "curl needs -H" in json.loads(answer)["error"]) == (400, True)
    assert call(serve_server, head(serve_server, "OPTIONS", INFER))[0] == 405
    headers = ("Content-Type: Application/JSON; charset=utf-8", f"Content-Length: {len(body)}")
    assert call(serve_server, head(serve_server, "POST", INFER, *headers), body)[0] == 200


# Connections


@pytest.fixture(scope="module")
def narrow(serve_python: str, serve_server: Server, work: Path) -> Iterator[Server]:
    """A server that may open fewer files than it is asked for connections."""
    port = free_port()
    command = ["bash", "-c", f'ulimit -n {FILES} && exec "$@"', "bash", *program(serve_python, work, port)]
    with running(command, port, work / "narrow.log", os.environ) as server:
        yield server


@contextmanager
def half_open(server: Server, sent: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        sockets = []
        for _ in range(HALF_OPEN):
            sockets.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)))
            sockets[-1].sendall(sent)
        yield sockets


BEGUN = {
    "nothing": b"",
    "half a head": b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1",
    "half a body": b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 100\r\n\r\n{",
}


@pytest.mark.parametrize("begun", BEGUN)
def test_half_open_connections_block_no_one(narrow: Server, work: Path, begun: str) -> None:
    with half_open(narrow, BEGUN[begun].replace(b"PORT", str(narrow.port).encode())):
        for _ in range(5):
            url = f"http://{narrow.address}/v2/models/{SPEC}"
            assert urllib.request.urlopen(url, timeout=5).status == 200
            assert post(narrow, as_json(question()))[0] == 200
    assert len(narrow.log.splitlines()) == 2, narrow.log


@pytest.mark.parametrize("begun", BEGUN)
def test_ctrl_c_waits_for_no_half_request(serve_python: str, serve_server: Server, work: Path, begun: str) -> None:
    port = free_port()
    with running(program(serve_python, work, port), port, work / "ended-early.log", os.environ) as server:
        with half_open(server, BEGUN[begun].replace(b"PORT", str(port).encode())):
            assert post(server, as_json(question()))[0] == 200
            assert server.end() == 0
        assert len(server.log.splitlines()) == 2, server.log


def test_broken_requests_print_nothing(serve_server: Server, work: Path) -> None:
    for _ in range(50):
        assert call(serve_server, b"\x16\x03\x01 no HTTP\r\n\r\n")[0] == 400
        assert (
            call(serve_server, head(serve_server, "GET", "/v2", "Upgrade: websocket", "Connection: Upgrade"))[0] == 200
        )
        assert call(serve_server, b"GET /v2 HTTP/1.1\r\nHost: " + b"x" * 40_000)[0] in (0, 400)
    assert_well(serve_server, work)


def test_a_head_that_never_ends_is_given_up(serve_server: Server, work: Path) -> None:
    """One client is silent, one sends a byte a second, one begins a second request and stops."""
    address = ("127.0.0.1", serve_server.port)
    with ExitStack() as stack:
        silent, slow, second = (stack.enter_context(socket.create_connection(address)) for _ in range(3))
        second.sendall(head(serve_server, "GET", "/v2"))
        assert read(second)[0] == 200
        second.sendall(b"GET /v2 HT")
        begun = time.monotonic()
        open_sockets = {silent, slow, second}
        while open_sockets and time.monotonic() - begun < 20:
            time.sleep(1)
            for each in list(open_sockets):
                each.setblocking(False)
                try:
                    if each is slow:
                        each.send(b"G")
                    if each.recv(1) == b"":
                        open_sockets.discard(each)
                except BlockingIOError:
                    pass
                except OSError:
                    open_sockets.discard(each)
        assert not open_sockets
        assert 8 < time.monotonic() - begun < 16
    assert_well(serve_server, work)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no request arrives")


def test_an_answer_that_no_one_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the connection itself, with a timer of no time."""
    import asyncio

    from resnetgen.serve import connections

    monkeypatch.setattr(connections, "STALL_SECONDS", 0)

    class Transport(asyncio.Transport):
        aborted = False

        def abort(self) -> None:
            self.aborted = True

        def is_closing(self) -> bool:
            return self.aborted

    async def main() -> bool:
        from uvicorn import Config
        from uvicorn.server import ServerState

        connection = connections.Connection(Config(_app, ws="none"), ServerState(), {})
        transport = Transport()
        connection.connection_made(transport)
        connection.pause_writing()
        connection.resume_writing()
        await asyncio.sleep(0.01)
        assert not transport.aborted
        connection.pause_writing()
        await asyncio.sleep(0.01)
        return transport.aborted

    assert asyncio.run(main())

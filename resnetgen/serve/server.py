"""Server of a folder, until the process is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from resnetgen import manifest
from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.errors import Code, FileError, UsageError
from resnetgen.paths import real_path
from resnetgen.predict import Served, read_served
from resnetgen.serve.asgi import App
from resnetgen.serve.limits import ACCEPTED_AT_ONCE, IDLE_SECONDS, MAX_HEAD, QUEUE

LOOPBACK = "127.0.0.1"
_LIBRARIES = ("starlette", "uvicorn")
"""Libraries of the extra `serve`."""
_MAX_NAME = 256
"""Limit in characters; the name is part of each URL."""
_GRACE = 5
"""Time in seconds that running requests get when the server ends."""


class Address(Struct, frozen=True):
    """Address and name of a served model."""

    served: Served
    name: str
    port: int

    @property
    def url(self) -> str:
        """URL of the model; requests go to /infer below it."""
        return f"http://{LOOPBACK}:{self.port}/v2/models/{quote(self.name, safe='')}"


def serve(folder: Path, name: str | None, port: int, ready: Callable[[Address], None]) -> None:
    """Serve the model of a folder on this machine alone; `ready` is called with the address. `port` 0 takes a free one.

    Returns at Ctrl-C. Raises Failure: exit 2 if the extra `serve` is missing or the name cannot be part of a URL,
    exit 5 if the port is taken, and the errors of `read_served` and `Session`.
    """
    _require_libraries()
    served = read_served(folder)
    name = _require_url_name(name or Path(manifest.spec_name(folder)).name or real_path(folder).name)
    with _listen(port) as listener:
        from resnetgen.serve.app import create_app
        from resnetgen.serve.served_model import ServedModel

        address = Address(served, name, listener.getsockname()[1])
        app = create_app(ServedModel(name, served, Session(served.model, Device())), address.port)
        with suppress(KeyboardInterrupt):
            _run(app, listener, lambda: ready(address))


def _run(app: App, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until Ctrl-C."""
    import uvicorn

    from resnetgen.serve.connections import Connection, Server

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_level="error",  # warnings about broken requests would let clients fill the terminal
        access_log=False,
        proxy_headers=False,
        # By default uvicorn takes these two from the environment.
        workers=1,
        forwarded_allow_ips="",
        backlog=ACCEPTED_AT_ONCE,
        timeout_keep_alive=IDLE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=_GRACE,
    )
    listener.listen(QUEUE)
    ready()
    asyncio.run(Server(config).serve([listener]))


def _require_libraries() -> None:
    """Require the extra `serve`. Raises UsageError."""
    try:
        for library in _LIBRARIES:
            import_module(library)
    except ImportError as error:
        message = f"models are served by Starlette and uvicorn, which cannot be imported: {error}"
        raise UsageError.of(Code.UNSUPPORTED, message, hint="pip install 'resnetgen[serve]'") from None


def _listen(port: int) -> socket.socket:
    """Return a socket bound to the port, before the model is loaded. Raises FileError if the port is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allows a port that was just left
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        message = f"cannot listen on {LOOPBACK}:{port}: {error.strerror}"
        raise FileError.of(Code.OUTPUT, message, hint="--port with another port, or 0 for a free one") from None
    return listener


def _require_url_name(name: str) -> str:
    """Return a name that can be part of a URL. Raises UsageError for others."""
    if not name or "/" in name or name in (".", "..") or len(name) > _MAX_NAME or not name.isprintable():
        hint = f"--name with letters, digits, _, - and ., {_MAX_NAME} at most"
        raise UsageError.of(Code.BAD_NAME, f"invalid model name in a URL: {name!r}", hint=hint)
    return name

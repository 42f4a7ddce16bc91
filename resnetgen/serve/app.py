"""MLServer's HTTP interface for one model. MLServer's other servers (gRPC, metrics, Kafka) are not started."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mlserver import ModelSettings, Settings
from mlserver.handlers import DataPlane, ModelRepositoryHandlers
from mlserver.registry import MultiModelRegistry
from mlserver.repository import SchemalessModelRepository
from mlserver.rest.app import create_app
from starlette.exceptions import HTTPException

from resnetgen.backends.onnxruntime import Session
from resnetgen.escape import escape
from resnetgen.predict import Served
from resnetgen.serve.asgi import App
from resnetgen.serve.bodies import LimitedBodies
from resnetgen.serve.hosts import LoopbackHosts
from resnetgen.serve.limits import MAX_MESSAGE, body_limit
from resnetgen.serve.model import PLATFORM, OnnxModel
from resnetgen.serve.requests import require_bounded
from resnetgen.serve.tensors import Tensor

_MODEL = "/v2/models/{model_name}"
_VERSION = f"{_MODEL}/versions/{{model_version}}"
ROUTES = frozenset(
    {"/v2", "/v2/health/live", "/v2/health/ready"}
    | {f"{of}{what}" for of in (_MODEL, _VERSION) for what in ("", "/ready", "/infer")}
)
"""Routes of the v2 protocol. MLServer's others load models, stream, or show pages with scripts of other sites."""


_NO_FILE = {"env_file": None}


class _ServerSettings(Settings):
    """MLServer's settings without the environment and without .env files."""

    model_config = Settings.model_config | _NO_FILE

    @classmethod
    def settings_customise_sources(cls, _: Any, init_settings: Any, **__: Any) -> tuple[Any, ...]:
        return (init_settings,)


class _ModelSettings(ModelSettings):
    """MLServer's settings of a model, likewise."""

    model_config = ModelSettings.model_config | _NO_FILE

    @classmethod
    def settings_customise_sources(cls, _: Any, init_settings: Any, **__: Any) -> tuple[Any, ...]:
        return (init_settings,)


async def build(served: Served, session: Session, name: str, port: int) -> App:
    """Return the application, with the model loaded and ready, for requests to this port of loopback."""
    app = await _mlserver(served, session, name)
    outputs, limit = len(session.outputs), body_limit(Tensor.of(session.input).shape)
    return LoopbackHosts(LimitedBodies(app, limit, lambda body: require_bounded(body, outputs)), port)


async def _mlserver(served: Served, session: Session, name: str) -> FastAPI:
    settings = _ServerSettings(
        debug=False, parallel_workers=0, metrics_endpoint=None, cache_enabled=False, gzip_enabled=False
    )
    registry = MultiModelRegistry(model_initialiser=lambda settings: OnnxModel(settings, served, session))
    implementation = f"{OnnxModel.__module__}.{OnnxModel.__name__}"
    await registry.load(
        _ModelSettings(name=name, implementation=implementation, platform=PLATFORM, cache_enabled=False)
    )
    handlers = ModelRepositoryHandlers(SchemalessModelRepository(""), registry)
    app = create_app(settings, DataPlane(settings, registry), handlers)
    app.router.routes = [route for route in app.routes if getattr(route, "path", "") in ROUTES]
    app.router.redirect_slashes = False
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(HTTPException, _say)
    return app


async def _say(_: Request, error: HTTPException) -> JSONResponse:
    """Return an error in the protocol's form for an unknown path or method."""
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


async def _refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    """Return an error in the protocol's form, in place of FastAPI's, which repeats the whole request."""
    first = error.errors()[0]
    match first["loc"]:
        case (_,):
            said = "the body is not read as JSON: curl needs -H 'Content-Type: application/json'"
        case (_, int(character)):
            said = f"the body is no JSON from character {character} on"
        case (_, *place):
            said = f"{'.'.join(map(str, place))}: {first['msg']}"
    return JSONResponse({"error": escape(said, MAX_MESSAGE)}, status_code=400)

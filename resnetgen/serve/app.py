"""MLServer's HTTP interface around one model. Of MLServer's other servers (gRPC, metrics, Kafka) none is started."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from mlserver import ModelSettings, Settings
from mlserver.handlers import DataPlane, ModelRepositoryHandlers
from mlserver.registry import MultiModelRegistry
from mlserver.repository import SchemalessModelRepository
from mlserver.rest.app import create_app

from resnetgen.predict import Served
from resnetgen.runtimes.onnxruntime import Session
from resnetgen.serve.model import PLATFORM, OnnxModel

_REPOSITORY = "/v2/repository"


async def build(served: Served, session: Session, name: str) -> FastAPI:
    """The application, with the model loaded and ready."""
    # What is not said here MLServer would take from the environment, or from a file .env.
    settings = Settings(
        debug=False,
        parallel_workers=0,
        metrics_endpoint=None,
        cache_enabled=False,
        gzip_enabled=False,
        root_path="",
        tracing_server=None,
        cors_settings=None,
    )
    registry = MultiModelRegistry(model_initialiser=lambda settings: OnnxModel(settings, served, session))
    implementation = f"{OnnxModel.__module__}.{OnnxModel.__name__}"
    await registry.load(
        ModelSettings(name=name, implementation=implementation, platform=PLATFORM, parameters=None, cache_enabled=False)
    )
    handlers = ModelRepositoryHandlers(SchemalessModelRepository(""), registry)
    app = create_app(settings, DataPlane(settings, registry), handlers)
    # No client loads models from this machine's files, or unloads the one that is served.
    app.router.routes = [route for route in app.routes if not getattr(route, "path", "").startswith(_REPOSITORY)]
    app.add_exception_handler(RequestValidationError, _refuse)
    return app


async def _refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    """The protocol's form of an error, in place of FastAPI's, which repeats the whole request."""
    first = error.errors()[0]
    match first["loc"]:
        case (_,):
            said = "the body is not read as JSON: curl needs -H 'Content-Type: application/json'"
        case (_, int(character)):
            said = f"the body is no JSON from character {character} on"
        case (_, *place):
            said = f"{'.'.join(map(str, place))}: {first['msg']}"
    return JSONResponse({"error": said}, status_code=400)

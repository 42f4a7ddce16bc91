"""HTTP interface of the v2 inference protocol for one model, by Starlette."""

from __future__ import annotations

from asyncio import get_running_loop
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resnetgen import __version__
from resnetgen.serve.asgi import App, RequestError
from resnetgen.serve.bodies import LimitedBodies
from resnetgen.serve.hosts import LoopbackHosts
from resnetgen.serve.limits import MAX_INFERENCES, body_limit
from resnetgen.serve.served_model import ServedModel

_JSON = "application/json"
_NOT_FOUND = 404


def create_app(model: ServedModel, port: int) -> App:
    """Return the application, for requests to this port of loopback."""
    threads = ThreadPoolExecutor(MAX_INFERENCES)

    async def describe_server(_: Request) -> Response:
        return JSONResponse({"name": "resnetgen", "version": __version__, "extensions": ["classification"]})

    async def report_ready(_: Request) -> Response:
        return Response()

    async def report_model_ready(request: Request) -> Response:
        require_model(request)
        return Response()

    async def describe_model(request: Request) -> Response:
        require_model(request)
        return JSONResponse(model.metadata)

    async def infer(request: Request) -> Response:
        require_model(request)
        # tritonclient sends no content type. Web pages can send those of forms and texts without asking first (CORS).
        content_type = request.headers.get("content-type", _JSON)
        if content_type.partition(";")[0].strip().lower() != _JSON:
            raise RequestError(f"the content type is not JSON: curl needs -H 'Content-Type: {_JSON}'")
        body = await request.body()
        return Response(await get_running_loop().run_in_executor(threads, model.infer, body), media_type=_JSON)

    def require_model(request: Request) -> None:
        if (name := request.path_params["model"]) != model.name:
            raise RequestError(f"model '{name}' not found: '{model.name}' is served", _NOT_FOUND)

    routes = [
        Route("/v2", describe_server),
        Route("/v2/health/live", report_ready),
        Route("/v2/health/ready", report_ready),
        Route("/v2/models/{model}", describe_model),
        Route("/v2/models/{model}/ready", report_model_ready),
        Route("/v2/models/{model}/infer", infer, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _report, RequestError: _report})
    app.router.redirect_slashes = False
    return LoopbackHosts(LimitedBodies(app, body_limit(model.input.shape)), port)


async def _report(_: Request, error: Exception) -> Response:
    """Return an error in the protocol's form: a RequestError, or Starlette's for an unknown path or method."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    assert isinstance(error, RequestError)
    return JSONResponse({"error": error.text}, error.status)

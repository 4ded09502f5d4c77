"""The gateway as an ASGI application: its layers, its life span, its OpenAPI document."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from sense import __version__
from sense.config import LimitsConfig, ServeConfig, environment
from sense.serving import access
from sense.serving.backend import Backend
from sense.serving.browsing.routes import router
from sense.serving.databases import Catalog
from sense.serving.envelope import Envelope, Routes
from sense.serving.gateway import Gateway
from sense.serving.problems import documented
from sense.serving.routes import probes, questions

_ABOUT = "A question and a database in, SQL that has been run out. Every error is a Problem; X-Request-Id names a request."
_SPARE_THREADS = 16  # beside those that requests for SQL may hold


def create_app(config: ServeConfig, backend: Backend, catalog: Catalog) -> FastAPI:
    """The gateway; its life span starts and closes backend and catalog. The API keys are read from the environment."""
    gateway = Gateway(config, backend, catalog)
    keys = access.keys(environment(config.keys))
    app = FastAPI(
        title="SENSE gateway",
        version=__version__,
        description=_ABOUT,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=_life(gateway),
        docs_url=None,  # they come from a CDN
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for kind in (HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _raised)  # the envelope answers
    guards = [Security(HTTPBearer(auto_error=False))] if keys else []  # for the document; the access layer looks at keys
    app.include_router(probes(gateway, telling=not keys))
    app.include_router(questions(gateway), dependencies=guards, responses=documented(401))
    if config.data is not None and Path(config.data).is_dir():
        routes = router(Path(config.data), config.limits)
        app.include_router(routes, dependencies=guards, responses=documented(401))
    document = _document(app, config.limits)
    doors = {"/v1/sql": gateway.asking.insist}
    app.add_middleware(access.Access, keys=keys, body_bytes=config.limits.body_bytes, doors=doors)
    app.add_middleware(Envelope, routes=Routes(document), meters=gateway.meters)
    return app


async def _raised(_: Request, error: Exception) -> Response:
    raise error


def _life(gateway: Gateway) -> Any:
    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        places = gateway.config.limits.concurrency
        threads = ThreadPoolExecutor(2 * places + _SPARE_THREADS, "sense")
        asyncio.get_running_loop().set_default_executor(threads)
        threads.submit(gateway.catalog.warm)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, gateway.catalog.close)
            stack.push_async_callback(gateway.backend.close)
            stack.push_async_callback(gateway.close)
            try:
                await gateway.backend.start()
            except Exception as error:
                app.state.failure = error  # uvicorn keeps none
                raise
            yield

    return life


def _document(app: FastAPI, limits: LimitsConfig) -> dict[str, Any]:
    """The OpenAPI document, in which this gateway's limits stand, and every Problem is JSON whatever the route answers else."""
    document = app.openapi()
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for status, response in operation["responses"].items():
            if status != "200":
                response["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    asked = document["components"]["schemas"]["Ask"]["properties"]
    for name in ("question", "evidence"):
        asked[name]["maxLength"] = limits.question_chars
    asked["k"]["maximum"] = limits.candidates
    return document

"""HTTP around the REST service: a Starlette application, run by uvicorn in a thread of its own.

The event loop reads and writes; requests are answered by a pool of threads, because a model
computes for as long as it takes. More requests than the pool and its queue hold are refused at
once, with the status that says so.
"""

import asyncio
import functools
import logging
import socket
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import starlette.requests
import starlette.responses
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from serving.server import json_output
from serving.server.connections import impatient
from serving.server.errors import Code, ServingError, invalid_argument
from serving.server.rest import Reply, Request, RestService, refusal
from serving.server.workers import Workers

log = logging.getLogger(__name__)

MAX_UNZIPPED_BYTES = 100 * 2**20
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """How HTTP is spoken; `pages` are further paths, each with what gives its reply.

    `read_seconds` is how long a request's head may take to arrive, and its body after that, and
    how long a caller may read nothing of a reply.
    """

    threads: int
    max_waiting: int
    max_request_bytes: int
    read_seconds: float = 30.0
    cors: bool = False
    pages: dict[str, Callable[[], Reply]] = field(default_factory=dict)


class WebServer:
    """Answers on a bound socket from `start` to `stop`."""

    def __init__(self, service: RestService, config: WebConfig, listener: socket.socket) -> None:
        self._service = service
        self._config = config
        self._listener = listener
        self.port = int(listener.getsockname()[1])
        self._pool = Workers(config.threads, name="rest")
        self._inside = 0  # requests that are waiting or being answered; the event loop's own
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._application(),
                http=impatient(config.read_seconds),
                loop="asyncio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="web", daemon=True
        )

    def start(self) -> None:
        """Begin to answer; whoever connects from now on is heard."""
        self._listener.listen(2048)
        self._thread.start()

    def stop(self, drain_seconds: float) -> None:
        """Take no further requests and wait until those inside are answered."""
        self._server.config.timeout_graceful_shutdown = max(1, int(drain_seconds))
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _application(self) -> Starlette:
        pages = {"/models": self._service.models, "/ready": self._service.ready}
        pages.update(self._config.pages)
        routes = [
            Route(path, functools.partial(_page, reply=reply), methods=["GET"])
            for path, reply in pages.items()
        ]
        routes.append(Route("/{path:path}", self._api, methods=list(METHODS)))
        allowed = Middleware(
            CORSMiddleware,
            allow_origins=["*"],
            allow_methods=["POST", "GET"],
            allow_headers=["Content-Type"],
        )
        return Starlette(routes=routes, middleware=[allowed] if self._config.cors else [])

    async def _api(self, request: starlette.requests.Request) -> starlette.responses.Response:
        path = request.scope["raw_path"].decode("latin-1")
        if not path.lower().startswith("/v1/"):
            return starlette.responses.PlainTextResponse("Not Found", 404)
        if self._is_full():
            return _response(_overloaded())
        arrived = time.monotonic()
        try:
            async with asyncio.timeout(self._config.read_seconds):
                body = await self._read(request)
        except ServingError as error:
            return _response(refusal(error))
        except TimeoutError:
            limit = self._config.read_seconds
            return _response(_unread(408, f"The request did not arrive within {limit:g} seconds."))
        if body is None:
            limit = self._config.max_request_bytes
            return _response(_unread(413, f"The request is larger than {limit} bytes."))
        # Only now does it take a place that others may want: a slow caller has none.
        if self._is_full():
            return _response(_overloaded())
        unzip = request.headers.get("content-encoding", "").lower() == "gzip"
        inside = Request(method=request.method, path=path, body=body, arrived=arrived)
        return _response(await self._answer(inside, unzip))

    def _is_full(self) -> bool:
        return self._inside >= self._config.threads + self._config.max_waiting

    async def _answer(self, request: Request, zipped: bool) -> Reply:
        loop = asyncio.get_running_loop()
        self._inside += 1
        try:
            return await loop.run_in_executor(self._pool, self._work, request, zipped)
        finally:
            self._inside -= 1

    async def _read(self, request: starlette.requests.Request) -> bytes | None:
        """The body, None if it is larger than allowed."""
        limit = self._config.max_request_bytes
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > limit:
            return None
        parts, size = [], 0
        try:
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    return None
                parts.append(part)
        except starlette.requests.ClientDisconnect as error:
            raise ServingError(Code.CANCELLED, "The caller has gone.") from error
        return b"".join(parts)

    def _work(self, request: Request, zipped: bool) -> Reply:
        if zipped:
            try:
                body = unzip(request.body)
            except ServingError as error:
                return refusal(error)
            request = Request(
                method=request.method, path=request.path, body=body, arrived=request.arrived
            )
        return self._service.answer(request)


def unzip(text: bytes) -> bytes:
    """A gzip body's content.

    Raises:
        ServingError: INVALID_ARGUMENT if it is damaged or larger than MAX_UNZIPPED_BYTES.
    """
    reader = zlib.decompressobj(wbits=31)
    try:
        content = reader.decompress(text, MAX_UNZIPPED_BYTES + 1)
    except zlib.error as error:
        raise invalid_argument(f"The body is not gzip as its header says: {error}") from error
    if len(content) > MAX_UNZIPPED_BYTES:
        raise invalid_argument(f"The body is larger than {MAX_UNZIPPED_BYTES} bytes unzipped.")
    if not reader.eof:
        raise invalid_argument("The body is not gzip as its header says: it is cut short")
    return content


def _unread(status: int, text: str) -> Reply:
    """A refusal of a request whose rest is not waited for: the connection ends with it."""
    return Reply(status, json_output.error(text), closes=True)


def _overloaded() -> Reply:
    return refusal(
        ServingError(Code.RESOURCE_EXHAUSTED, "Too many requests are waiting; try again later.")
    )


async def _page(
    request: starlette.requests.Request, *, reply: Callable[[], Reply]
) -> starlette.responses.Response:
    return _response(reply())


def _response(reply: Reply) -> starlette.responses.Response:
    headers = {"content-type": reply.content_type}
    if reply.closes:
        headers["connection"] = "close"
    return starlette.responses.Response(reply.body, reply.status, headers=headers)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address, which must be free; port 0 takes any free one.

    Raises:
        OSError: if the address cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener

"""From flags to the parts around the engine that are not gRPC: the REST port and what watches."""

import logging

from serving.server.engine import Engine
from serving.server.errors import Code, ServingError
from serving.server.flags import ServerConfig
from serving.server.rest import RestService
from serving.server.web import WebConfig, WebServer, listen

log = logging.getLogger("serving.server")


def open_web(engine: Engine, config: ServerConfig) -> WebServer:
    """The REST server, bound to its port and not yet answering.

    Raises:
        ServingError: UNAVAILABLE if the port is taken.
    """
    try:
        listener = listen(config.host, config.rest_api_port)
    except OSError as error:
        place = f"{config.host}:{config.rest_api_port}"
        reason = error.strerror or str(error)
        raise ServingError(Code.UNAVAILABLE, f"cannot listen on {place}: {reason}") from error
    service = RestService(engine, timeout_seconds=config.rest_api_timeout_in_ms / 1000)
    web = WebConfig(
        threads=config.rest_api_num_threads,
        max_waiting=config.max_waiting_requests,
        max_request_bytes=config.max_request_bytes,
        cors=config.rest_api_enable_cors_support,
    )
    return WebServer(service, web, listener)

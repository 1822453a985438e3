"""From flags to the REST port."""

from serving.server import metrics
from serving.server.engine import Engine
from serving.server.errors import Code, ServingError
from serving.server.flags import ServerConfig
from serving.server.rest import Reply, RestService
from serving.server.watch import Watch
from serving.server.web import WebConfig, WebServer, listen


def open_web(engine: Engine, config: ServerConfig, watch: Watch) -> WebServer:
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
    service = RestService(
        engine,
        timeout_seconds=config.rest_api_timeout_in_ms / 1000,
        observer=watch.observer,
    )
    pages = {}
    if watch.metrics and watch.metrics_path:
        page = watch.metrics.page
        pages[watch.metrics_path] = lambda: Reply(200, page(), metrics.CONTENT_TYPE)
    web = WebConfig(
        threads=config.rest_api_num_threads,
        max_waiting=config.max_waiting_requests,
        max_request_bytes=config.max_request_bytes,
        read_seconds=config.rest_api_timeout_in_ms / 1000,
        cors=config.rest_api_enable_cors_support,
        pages=pages,
    )
    return WebServer(service, web, listener)

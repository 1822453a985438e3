"""`python -m serving.server`: from flags to a running server, and back down on a signal."""

import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serving.server.flags import USAGE_STATUS, ServerConfig, parse

if TYPE_CHECKING:
    import grpc

    from serving.server.engine import Engine
    from serving.server.repository import Repository
    from serving.server.saved_model import LoadedModel
    from serving.server.web import WebServer

DRAIN_SECONDS = 30.0  # how long requests in flight may take after a stop signal

log = logging.getLogger("serving.server")


class StartError(Exception):
    """The server cannot start; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the process's exit status."""
    config, unknown = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    for argument in unknown:
        log.warning("unknown argument ignored: %s", argument)
    stop = threading.Event()
    try:
        return _serve(config, stop)
    except StartError as error:
        log.error("serving.server: failed to start: %s", error)
        return USAGE_STATUS


def _serve(config: ServerConfig, stop: threading.Event) -> int:
    _check_addresses(config)
    log.info("starting %s from %s", config.model_name, config.model_base_path)
    repository = _make_repository(config)
    _stop_on_signals(stop, repository.settled)
    repository.start()
    _wait(repository.settled)
    if stop.is_set():
        return _end(repository)
    if repository.latest() is None:
        raise StartError(_why_nothing_loaded(repository, config))
    server, web = _open(repository, config)
    _wait(stop)
    log.info("stopping: waiting for requests in flight, at most %.0f s", DRAIN_SECONDS)
    stopped = server.stop(DRAIN_SECONDS)
    if web:
        web.stop(DRAIN_SECONDS)
    stopped.wait()
    return _end(repository)


def _check_addresses(config: ServerConfig) -> None:
    """Find out about a taken port before minutes are spent on loading a model."""
    for port in dict.fromkeys((config.port, config.rest_api_port)):
        if port == 0:
            continue
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                config.host, port, type=socket.SOCK_STREAM
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(f"cannot listen on {config.host}:{port}: {reason}") from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """TensorFlow's start-up notes would bury the lines that matter; a failure shows them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """TensorFlow imports Keras, which takes as long again, unless its import fails."""
    hidden = "keras" not in sys.modules
    if hidden:
        sys.modules["keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["keras"]


def _make_repository(config: ServerConfig) -> "Repository[LoadedModel]":
    # Importing TensorFlow takes seconds; flags, --help and a taken port are answered before.
    with _quietly(), _without_keras():
        from serving.server import saved_model, warmup
        from serving.server.repository import Policy, Repository

        saved_model.find_devices()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its import sets its own level

    def load(path: Path) -> saved_model.LoadedModel:
        model = saved_model.load(path, tags=config.saved_model_tags)
        if config.enable_model_warmup:
            try:
                count = warmup.replay(model, path)
            except BaseException:
                model.close()
                raise
            if count:
                log.info("%s: %d warmup requests replayed", config.model_name, count)
        return model

    policy = Policy(
        poll_seconds=config.file_system_poll_wait_seconds,
        retries=config.max_num_load_retries,
        retry_seconds=config.load_retry_interval_micros / 1e6,
    )
    return Repository(config.model_name, config.model_base_path, load, policy=policy)


def _stop_on_signals(*events: threading.Event) -> None:
    """The first SIGTERM or SIGINT sets the events; a second one ends the process at once."""

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        for event in events:
            event.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _wait(event: threading.Event) -> None:
    """Wait, and wake now and then: Python runs signal handlers only in a main thread awake."""
    while not event.wait(1.0):
        pass


def _why_nothing_loaded(repository: "Repository[LoadedModel]", config: ServerConfig) -> str:
    failures = [f"version {s.version}: {s.message}" for s in repository.statuses() if s.message]
    if failures:
        return f"no version of {config.model_name} loads; " + "; ".join(failures)
    return f"no version of {config.model_name} in {config.model_base_path}"


def _open(
    repository: "Repository[LoadedModel]", config: ServerConfig
) -> "tuple[grpc.Server, WebServer | None]":
    """Start answering; TF Serving, too, opens its ports only once the model is up."""
    from serving.server.engine import Engine
    from serving.server.services import make_server

    engine = Engine({config.model_name: repository})
    server = make_server(
        engine,
        threads=config.grpc_max_threads,
        max_waiting=config.max_waiting_requests,
        max_request_bytes=config.max_request_bytes,
    )
    host = f"[{config.host}]" if ":" in config.host else config.host
    addresses = []
    try:
        if config.port or not config.grpc_socket_path:
            addresses.append(f"{host}:{server.add_insecure_port(f'{host}:{config.port}')}")
        if config.grpc_socket_path:
            server.add_insecure_port(f"unix:{config.grpc_socket_path}")
            addresses.append(f"unix:{config.grpc_socket_path}")
    except RuntimeError as error:
        raise StartError(str(error)) from error
    web = _make_web(engine, config)
    server.start()
    log.info(
        "serving %s version %s at %s (gRPC)",
        config.model_name,
        repository.latest(),
        " and ".join(addresses),
    )
    if web:
        web.start()
        log.info("answering REST at http://%s:%d", host, web.port)
    return server, web


def _make_web(engine: "Engine", config: ServerConfig) -> "WebServer | None":
    """The REST server if there is a port for it, bound and not yet listening."""
    if config.rest_api_port == 0:
        return None
    if config.rest_api_port == config.port:
        log.warning("REST is off: --rest_api_port and --port are both %d", config.port)
        return None
    from serving.server.rest import RestService
    from serving.server.web import WebConfig, WebServer, listen

    try:
        listener = listen(config.host, config.rest_api_port)
    except OSError as error:
        reason = error.strerror or str(error)
        place = f"{config.host}:{config.rest_api_port}"
        raise StartError(f"cannot listen on {place}: {reason}") from error
    service = RestService(engine, timeout_seconds=config.rest_api_timeout_in_ms / 1000)
    web = WebConfig(
        threads=config.rest_api_num_threads,
        max_waiting=config.max_waiting_requests,
        max_request_bytes=config.max_request_bytes,
        cors=config.rest_api_enable_cors_support,
    )
    return WebServer(service, web, listener)


def _end(repository: "Repository[LoadedModel]") -> int:
    if repository.close():
        log.info("stopped")
        return 0
    # A load that is still going on inside TensorFlow cannot be interrupted, only left behind.
    log.info("stopped during a load")
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(0)

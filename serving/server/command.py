"""`python -m serving.server`: from flags to a running server, and back down on a signal."""

import contextlib
import functools
import gc
import itertools
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from serving.server import addresses, memory
from serving.server.flags import USAGE_STATUS, ServerConfig, parse
from serving.server.log_lines import JsonLines, PlainLines

if TYPE_CHECKING:
    import grpc

    from serving.server.engine import Engine
    from serving.server.model_config import ModelConfig
    from serving.server.models import Models
    from serving.server.saved_model import LoadedModel
    from serving.server.watch import Watch
    from serving.server.web import WebServer

DRAIN_SECONDS = 30.0  # how long requests in flight may take after a stop signal

log = logging.getLogger("serving.server")


class StartError(Exception):
    """The server cannot start; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the process's exit status."""
    config, unknown = parse(sys.argv[1:] if arguments is None else arguments)
    _set_up_logging(config)
    for argument in unknown:
        log.warning("unknown argument ignored: %s", argument)
    stop = threading.Event()
    try:
        return _serve(config, stop)
    except StartError as error:
        print(f"Failed to start server. Error: {error}", flush=True)  # as TF Serving does
        return USAGE_STATUS


def _set_up_logging(config: ServerConfig) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if config.log_as_json else PlainLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _serve(config: ServerConfig, stop: threading.Event) -> int:
    memory.share_arenas()
    # Else a thread of gRPC's reads the connections, and wakes the one that answers (decision 0042).
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
    _check_addresses(config)
    log.info("starting from %s", config.model_config_file or config.model_base_path)
    with _starting():
        _import_tensorflow()
        watch = _make_watch(config)
        models, configs = _make_models(config, watch)
        credentials = _credentials(config)
        _stop_on_signals(stop, models.changed)
        models.start(configs)
    while not (stop.is_set() or models.can_serve() or models.is_hopeless()):
        # Python runs signal handlers only in a main thread that is awake now and then.
        models.changed.wait(1.0)
        models.changed.clear()
    if stop.is_set():
        return _end(models)
    with _starting():
        if not models.can_serve():
            models.close()
            raise models.unavailable(list(models))
        server, web = _open(models, config, credentials, watch)
    if config.model_config_file and config.model_config_file_poll_wait_seconds:
        threading.Thread(target=_follow, args=(config, models, stop), daemon=True).start()
    for second in itertools.count(1):
        if stop.wait(1.0):
            break
        if second % memory.SECONDS == 0:
            memory.give_back()
    log.info("stopping: waiting for requests in flight, at most %.0f s", DRAIN_SECONDS)
    models.drain()
    stopped = server.stop(DRAIN_SECONDS)
    if web:
        web.stop(DRAIN_SECONDS)
    stopped.wait()
    watch.close()
    return _end(models)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """A refusal while the server starts ends it, with the refusal's code and text."""
    from serving.server.errors import ServingError

    try:
        yield
    except ServingError as error:
        raise StartError(f"{error.code.name}: {error.message}") from error


def _check_addresses(config: ServerConfig) -> None:
    """Find out about a taken port before minutes are spent on loading a model."""
    checks: dict[str, Callable[[], None]] = {
        f"{config.host}:{port}": functools.partial(addresses.check_port, config.host, port)
        for port in (config.port, config.rest_api_port)
        if port
    }
    if path := config.grpc_socket_path:
        checks[f"unix:{path}"] = lambda: addresses.check_socket(path)
    for place, check in checks.items():
        try:
            check()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(f"UNAVAILABLE: cannot listen on {place}: {reason}") from error


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


def _import_tensorflow() -> None:
    """Seconds that flags, --help and a taken port need not wait for."""
    gc.disable()  # nothing that imports make is garbage
    with _quietly(), _without_keras():
        from serving.server import saved_model

        saved_model.find_devices()
    gc.freeze()
    gc.enable()
    gc.collect()  # otherwise a quarter of all that is frozen must come before the next full one
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its import sets its own level


def _make_models(
    config: ServerConfig, watch: "Watch"
) -> "tuple[Models[LoadedModel], list[ModelConfig]]":
    from serving.server import completeness
    from serving.server.attempts import Policy
    from serving.server.loading import make_loader
    from serving.server.models import Models

    models = Models(
        make_loader(config, watch.metrics),
        policy=Policy(
            poll_seconds=config.file_system_poll_wait_seconds,
            retries=config.max_num_load_retries,
            retry_seconds=config.load_retry_interval_micros / 1e6,
        ),
        lacks=completeness.lacks,
        load_threads=config.num_load_threads,
        early_labels=config.allow_version_labels_for_unavailable_models,
    )
    return models, _model_configs(config)


def _model_configs(config: ServerConfig) -> "list[ModelConfig]":
    from serving.server import model_config

    if config.model_config_file is not None:
        return model_config.read(config.model_config_file)
    assert config.model_base_path is not None  # one of the two is there, see flags
    base_path = config.model_base_path.absolute()
    return [model_config.ModelConfig(name=config.model_name, base_path=base_path)]


def _credentials(config: ServerConfig) -> "grpc.ServerCredentials | None":
    from serving.server import transport

    if config.ssl_config_file is None:
        return None
    return transport.read_credentials(config.ssl_config_file)


def _stop_on_signals(*events: threading.Event) -> None:
    """The first SIGTERM or SIGINT sets the events; a second one ends the process at once."""

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        for event in events:
            event.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _open(
    models: "Models[LoadedModel]",
    config: ServerConfig,
    credentials: "grpc.ServerCredentials | None",
    watch: "Watch",
) -> "tuple[grpc.Server, WebServer | None]":
    """Start answering; TF Serving, too, opens its ports only once models are up."""
    from serving.server import transport
    from serving.server.engine import Engine
    from serving.server.services import make_server

    engine = Engine(
        models,
        check_methods=config.enable_signature_method_name_check,
        on_run=watch.metrics.run if watch.metrics else None,
    )
    server = make_server(
        engine,
        threads=config.grpc_max_threads,
        channel_arguments=config.grpc_channel_arguments,
        as_content=config.enable_serialization_as_tensor_content,
        has_health=config.enable_grpc_healthcheck_service,
        max_waiting=config.max_waiting_requests,
        max_request_bytes=config.max_request_bytes,
        observer=None if watch.observer.is_idle else watch.observer,
    )
    listening = transport.listen(
        server,
        host=config.host,
        port=config.port,
        socket_path=config.grpc_socket_path,
        credentials=credentials,
    )
    web = _open_web(engine, config, watch)
    server.start()
    log.info("serving %s at %s (gRPC)", _shown(models), " and ".join(listening))
    if web:
        web.start()
        log.info("answering REST at http://%s:%d", config.host, web.port)
    return server, web


def _shown(models: "Models[LoadedModel]") -> str:
    return ", ".join(
        f"{name} version {' and '.join(str(v) for v in repository.available()) or 'none yet'}"
        for name, repository in models.items()
    )


def _make_watch(config: ServerConfig) -> "Watch":
    from serving.server.watch import make_watch

    return make_watch(config)


def _open_web(engine: "Engine", config: ServerConfig, watch: "Watch") -> "WebServer | None":
    """The REST server if there is a port for it; only then is its software imported."""
    if config.rest_api_port == 0:
        return None
    if config.rest_api_port == config.port:
        log.warning("REST is off: --rest_api_port and --port are both %d", config.port)
        return None
    from serving.server import operations

    return operations.open_web(engine, config, watch)


def _follow(config: ServerConfig, models: "Models[LoadedModel]", stop: threading.Event) -> None:
    """Read the configuration file again and again, and go over to what it says when it changes."""
    from serving.server import model_config
    from serving.server.errors import ServingError

    file = config.model_config_file
    assert file is not None

    def is_outdated() -> bool:
        """Whether to leave a wait for models that may never come."""
        with contextlib.suppress(ServingError):
            return stop.is_set() or model_config.read(file) != configs
        return False

    configs, done, told = list(models.configs.values()), True, ""
    while not stop.wait(config.model_config_file_poll_wait_seconds):
        try:
            before, configs = configs, model_config.read(file)
            if configs != before:
                log.info("%s has changed", file)
            elif done:
                continue
            done = False  # a label that cannot be moved yet is tried again
            models.reload(configs, is_cancelled=is_outdated)
            done, told = True, ""
            log.info("serving what %s says", file)
        except ServingError as error:  # what was served goes on
            if error.message != told:
                log.error("%s: %s", file, error.message)
                told = error.message


def _end(models: "Models[LoadedModel]") -> int:
    if models.close():
        log.info("stopped")
        return 0
    # A load that is still going on inside TensorFlow cannot be interrupted, only left behind.
    log.info("stopped during a load")
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(0)

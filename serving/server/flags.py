"""The server's command line: TF Serving's flag names, one frozen value out."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

USAGE_STATUS = 255  # what TF Serving exits with when it cannot start


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything the command line decides; a file that was not given is None."""

    host: str
    port: int
    grpc_socket_path: str
    grpc_max_threads: int
    grpc_channel_arguments: tuple[tuple[str, int | str], ...]
    ssl_config_file: Path | None
    enable_grpc_healthcheck_service: bool
    enable_serialization_as_tensor_content: bool
    enable_signature_method_name_check: bool
    model_name: str
    model_base_path: Path | None
    model_config_file: Path | None
    model_config_file_poll_wait_seconds: int
    allow_version_labels_for_unavailable_models: bool
    file_system_poll_wait_seconds: int
    max_num_load_retries: int
    load_retry_interval_micros: int
    num_load_threads: int
    enable_model_warmup: bool
    num_request_iterations_for_warmup: int
    saved_model_tags: tuple[str, ...]
    enable_batching: bool
    batching_parameters_file: Path | None
    enable_per_model_batching_parameters: bool
    tensorflow_session_config_file: Path | None
    tensorflow_session_parallelism: int
    tensorflow_intra_op_parallelism: int
    tensorflow_inter_op_parallelism: int
    rest_api_port: int
    rest_api_num_threads: int
    rest_api_timeout_in_ms: int
    rest_api_enable_cors_support: bool
    max_request_bytes: int
    max_waiting_requests: int
    monitoring_config_file: Path | None
    request_log_prefix: Path | None
    request_log_sampling_rate: float
    request_log_max_bytes: int
    log_each_request: bool
    log_as_json: bool


# Flags of TF Serving that are understood and change nothing here.
WITHOUT_EFFECT = (
    "enable_profiler",
    "flush_filesystem_caches",
    "mixed_precision",
    "num_unload_threads",
    "platform_config_file",
    "prefer_tflite_model",
    "thread_pool_factory_config_file",
    "use_alts_credentials",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
)


class _Parser(argparse.ArgumentParser):
    """Bad values end with one sentence and TF Serving's exit status, without a usage dump."""

    def error(self, message: str) -> NoReturn:
        print(f"serving.server: {message} (--help lists the flags)")
        self.exit(USAGE_STATUS)


def parse(arguments: Sequence[str]) -> tuple[ServerConfig, list[str]]:
    """The configuration and the arguments that are no flags of this server.

    Flags may be written `--flag=value` or `--flag value`, with dashes or underscores; a boolean
    flag alone means true.

    Raises:
        SystemExit: with status 255 and a sentence on stdout, as TF Serving does, for a bad
            value; 0 after --help and --version.
    """
    parser = _make_parser()
    options, unknown = parser.parse_known_args([_with_underscores(a) for a in arguments])
    if options.version:
        print(f"serving.server on TensorFlow {metadata.version('tensorflow')}")
        parser.exit()
    values = vars(options)
    ignored = [name for name in WITHOUT_EFFECT if values.pop(name) is not None]
    del values["version"]
    config = ServerConfig(**values)
    _check(config, parser)
    return config, unknown + [f"--{name} (it has no effect here)" for name in ignored]


def _check(config: ServerConfig, parser: _Parser) -> None:
    if config.model_base_path is None and config.model_config_file is None:
        parser.error(
            "--model_base_path is missing: the folder that holds the version folders "
            "(or --model_config_file)"
        )
    if not config.model_name:
        parser.error("--model_name must not be empty")
    if config.batching_parameters_file is not None and not config.enable_batching:
        parser.error("--batching_parameters_file is given without --enable_batching")
    threads = (
        config.tensorflow_session_parallelism,
        config.tensorflow_intra_op_parallelism,
        config.tensorflow_inter_op_parallelism,
    )
    if all(threads):
        parser.error(
            "--tensorflow_session_parallelism sets both of --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism; do not give all three"
        )


def _with_underscores(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _make_parser() -> _Parser:
    parser = _Parser(
        prog="python -m serving.server",
        description="Serve SavedModels over TF Serving's protocol, with its flags.",
        usage="%(prog)s --model_base_path=FOLDER [--flag=value ...]",
        allow_abbrev=False,
    )
    for name, kind, default, metavar, text in [*_flags(), *_rest_flags(), *_operations_flags()]:
        if default not in (None, "", (), False):
            shown = ",".join(default) if isinstance(default, tuple) else str(default).lower()
            text += f" (default: {shown})"
        bare: dict[str, Any] = {"nargs": "?", "const": True} if kind is _boolean else {}
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar=metavar, help=text, **bare
        )
    for name in WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    return parser


_Flag = tuple[str, Callable[[str], Any], Any, str, str]


def _flags() -> list[_Flag]:
    """Name, type, default, the word for a value in --help, and what it does."""
    return [*_wire_flags(), *_model_flags(), *_session_flags()]


def _wire_flags() -> list[_Flag]:
    switch, threads = _boolean, 4 * (os.cpu_count() or 1)
    return [
        ("host", str, "0.0.0.0", "HOST", "address to listen on"),
        ("port", _integer(0, 65535), 8500, "N",
         "gRPC port; 0 picks a free one, or none where a socket path is given"),
        ("grpc_socket_path", str, "", "PATH", "listen on a unix socket too"),
        ("grpc_max_threads", _integer(1), threads, "N", "requests that may run at the same time"),
        ("grpc_channel_arguments", _channel_arguments, (), "K=V,K=V",
         "further options of the gRPC server, such as grpc.max_connection_age_ms=2000"),
        ("ssl_config_file", _path, None, "FILE",
         "text SSLConfig with server_key, server_cert, custom_ca and client_verify: TLS on the "
         "gRPC port"),
        ("enable_grpc_healthcheck_service", switch, False, "BOOL", "serve grpc.health.v1.Health"),
        ("enable_serialization_as_tensor_content", switch, False, "BOOL",
         "answer Predict in tensor_content instead of float_val and its siblings"),
        ("enable_signature_method_name_check", switch, False, "BOOL",
         "Classify and Regress refuse signatures that are stored as predicting ones"),
    ]  # fmt: skip


def _model_flags() -> list[_Flag]:
    count, switch = _integer(0), _boolean
    return [
        ("model_name", str, "default", "NAME", "the name that callers use"),
        ("model_base_path", _path, None, "FOLDER", "holds one folder per version, named by "
         "integers; with model_name it is ignored where there is a model_config_file"),
        ("model_config_file", _path, None, "FILE",
         "text ModelServerConfig: several models, their version policies and labels"),
        ("model_config_file_poll_wait_seconds", count, 0, "N",
         "how often to read that file again; 0 reads it once"),
        ("allow_version_labels_for_unavailable_models", switch, False, "BOOL",
         "a reload may give new labels to versions that are not available yet"),
        ("file_system_poll_wait_seconds", _integer(-1), 1, "N",
         "how often to look for versions; 0 or -1 looks once, and after a new configuration"),
        ("max_num_load_retries", count, 5, "N", "further attempts on a version that fails to load"),
        ("load_retry_interval_micros", count, 60_000_000, "N",
         "microseconds between these attempts"),
        ("num_load_threads", count, 0, "N", "models that may be loaded at the same time; 0: all"),
    ]  # fmt: skip


def _session_flags() -> list[_Flag]:
    count, switch = _integer(0), _boolean
    return [
        ("enable_model_warmup", switch, True, "BOOL",
         "replay assets.extra/tf_serving_warmup_requests"),
        ("num_request_iterations_for_warmup", count, 0, "N",
         "how often each of these is replayed; 0: once"),
        ("saved_model_tags", _tags, ("serve",), "TAG,TAG", "which graph of the SavedModel to load"),
        ("enable_batching", switch, False, "BOOL",
         "requests that come while others run wait for each other and share a run"),
        ("batching_parameters_file", _path, None, "FILE",
         "text BatchingParameters; what it leaves out is as TF Serving has it"),
        ("enable_per_model_batching_parameters", switch, False, "BOOL",
         "a batching_params.pbtxt in the folder of a version is for that version"),
        ("tensorflow_session_config_file", _path, None, "FILE", "text tensorflow.ConfigProto"),
        ("tensorflow_session_parallelism", count, 0, "N",
         "threads inside and between operations; 0: as TensorFlow thinks best"),
        ("tensorflow_intra_op_parallelism", count, 0, "N", "threads inside one operation"),
        ("tensorflow_inter_op_parallelism", count, 0, "N", "operations side by side"),
        ("version", switch, False, "BOOL", "print the version and end"),
    ]  # fmt: skip


def _rest_flags() -> list[_Flag]:
    threads = 4 * (os.cpu_count() or 1)
    return [
        ("rest_api_port", _integer(0, 65535), 0, "N",
         "REST port, also for GET /models, all that is served, and GET /ready, which is 503 until "
         "each model has a version; 0 is off"),
        ("rest_api_num_threads", _integer(1), threads, "N",
         "REST requests that may run at the same time"),
        ("rest_api_timeout_in_ms", _integer(1), 30_000, "N",
         "what a REST request may take, its arrival and waiting included"),
        ("rest_api_enable_cors_support", _boolean, False, "BOOL", "let pages from elsewhere ask"),
    ]  # fmt: skip


def _operations_flags() -> list[_Flag]:
    return [
        ("max_request_bytes", _integer(1, 2**31 - 1), 2**31 - 1, "N",
         "larger requests are refused, unread where they say their size"),
        ("max_waiting_requests", _integer(0), 1000, "N",
         "requests that may wait for a thread, of gRPC and of REST each; further ones are refused "
         "at once"),
        ("monitoring_config_file", _path, None, "FILE",
         "text MonitoringConfig: prometheus_config { enable: true path: '...' }, read at the REST "
         "port"),
        ("request_log_prefix", _path, None, "PATH",
         "keep requests and answers in files whose names begin so; each can serve as warmup"),
        ("request_log_sampling_rate", _share, 0.01, "SHARE", "which share of them, 0 to 1"),
        ("request_log_max_bytes", _integer(1), 100 * 2**20, "N",
         "begin the next file at this size, and after 1000 requests"),
        ("log_each_request", _boolean, False, "BOOL", "a line on stderr for each request"),
        ("log_as_json", _boolean, False, "BOOL", "each line on stderr is one JSON object"),
    ]  # fmt: skip


class _integer:
    """A whole number within bounds; the class name is what argparse prints for bad values."""

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least, self._most = least, most
        upper = "" if most is None else f" to {most}"
        self._allowed = f"a whole number from {least}{upper}" + ("" if most else " up")

    def __call__(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < self._least or (self._most and number > self._most):
            raise argparse.ArgumentTypeError(f"{text!r} is not {self._allowed}")
        return number


def _boolean(text: str) -> bool:
    allowed = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
    if text.lower() not in allowed:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return allowed[text.lower()]


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share


def _tags(text: str) -> tuple[str, ...]:
    tags = tuple(tag.strip() for tag in text.split(",") if tag.strip())
    if not tags:
        raise argparse.ArgumentTypeError("at least one tag is needed, such as serve")
    return tags


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    arguments: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise argparse.ArgumentTypeError(f"{part!r} is not written name=value")
        try:
            arguments.append((name, int(value)))
        except ValueError:
            arguments.append((name, value))
    return tuple(arguments)

"""The server's command line: TF Serving's flag names, one frozen value out."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

USAGE_STATUS = 255  # what TF Serving exits with when it cannot start


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Everything the command line decides."""

    host: str
    port: int
    grpc_socket_path: str
    model_name: str
    model_base_path: Path
    file_system_poll_wait_seconds: float
    enable_model_warmup: bool
    grpc_max_threads: int
    max_num_load_retries: int
    load_retry_interval_micros: int
    saved_model_tags: tuple[str, ...]
    rest_api_port: int
    rest_api_num_threads: int
    rest_api_timeout_in_ms: int
    rest_api_enable_cors_support: bool
    max_request_bytes: int
    max_waiting_requests: int


class _Parser(argparse.ArgumentParser):
    """Bad values end with one sentence and TF Serving's exit status, without a usage dump."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_STATUS, f"serving.server: {message} (--help lists the flags)\n")


def parse(arguments: Sequence[str]) -> tuple[ServerConfig, list[str]]:
    """The configuration and the arguments that are no flags of this server.

    Flags may be written `--flag=value` or `--flag value`, with dashes or underscores; a boolean
    flag alone means true.

    Raises:
        SystemExit: with status 255 and a sentence on stderr for a bad value, 0 after --help.
    """
    parser = _make_parser()
    options, unknown = parser.parse_known_args([_with_underscores(a) for a in arguments])
    if not options.model_base_path:
        parser.error("--model_base_path is missing: the folder that holds the version folders")
    if not options.model_name:
        parser.error("--model_name must not be empty")
    values = vars(options)
    values["model_base_path"] = Path(options.model_base_path)
    return ServerConfig(**values), unknown


def _with_underscores(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m serving.server",
        description="Serve the newest version of a SavedModel over TF Serving's gRPC protocol.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="0.0.0.0", help="address to listen on")
    add("--port", type=_integer(0, 65535), default=8500, metavar="N",
        help="gRPC port; 0 picks a free one, or none where a socket path is given")  # fmt: skip
    add("--grpc_socket_path", default="", metavar="PATH", help="listen on a unix socket too")
    add("--model_name", default="default", metavar="NAME", help="the name that callers use")
    add("--model_base_path", default="", metavar="FOLDER",
        help="holds one folder per version, named by integers")  # fmt: skip
    add("--file_system_poll_wait_seconds", type=_integer(0), default=1, metavar="N",
        help="how often to look for new versions; 0 looks once, at the start")  # fmt: skip
    add("--enable_model_warmup", type=_boolean, nargs="?", const=True, default=True,
        metavar="BOOL", help="replay assets.extra/tf_serving_warmup_requests")  # fmt: skip
    add("--grpc_max_threads", type=_integer(1), default=4 * (os.cpu_count() or 1), metavar="N",
        help="requests that may run at the same time")  # fmt: skip
    add("--max_num_load_retries", type=_integer(0), default=5, metavar="N",
        help="further attempts on a version that fails to load")  # fmt: skip
    add("--load_retry_interval_micros", type=_integer(0), default=60_000_000, metavar="N",
        help="microseconds between these attempts")  # fmt: skip
    add("--saved_model_tags", type=_tags, default=("serve",), metavar="TAG,TAG",
        help="which graph of the SavedModel to load")  # fmt: skip
    _add_rest(add)
    _add_bounds(add)
    return parser


def _add_rest(add: Callable[..., Any]) -> None:
    add("--rest_api_port", type=_integer(0, 65535), default=0, metavar="N",
        help="REST port, also for GET /models, the models served, and GET /ready, 503 until "
        "each has a version; 0 is off")  # fmt: skip
    add("--rest_api_num_threads", type=_integer(1), default=4 * (os.cpu_count() or 1),
        metavar="N", help="REST requests that may run at the same time")  # fmt: skip
    add("--rest_api_timeout_in_ms", type=_integer(1), default=30_000, metavar="N",
        help="what a REST request may take, waiting included")  # fmt: skip
    add("--rest_api_enable_cors_support", type=_boolean, nargs="?", const=True, default=False,
        metavar="BOOL", help="let pages from other origins ask")  # fmt: skip


def _add_bounds(add: Callable[..., Any]) -> None:
    add("--max_request_bytes", type=_integer(1, 2**31 - 1), default=2**31 - 1, metavar="N",
        help="larger requests are refused, unread where they say their size")  # fmt: skip
    add("--max_waiting_requests", type=_integer(0), default=1000, metavar="N",
        help="requests that may wait for a thread, of gRPC and of REST; further ones are "
        "refused at once")  # fmt: skip


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


def _tags(text: str) -> tuple[str, ...]:
    tags = tuple(tag.strip() for tag in text.split(",") if tag.strip())
    if not tags:
        raise argparse.ArgumentTypeError("at least one tag is needed, such as serve")
    return tags

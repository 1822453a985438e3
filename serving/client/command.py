"""`python -m serving.client predict | metadata | status`: the client for a shell.

Exit status: 0 done, 1 the server cannot be reached or fails, 2 the request is wrong.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from serving.client import display
from serving.client.arguments import parse_inputs
from serving.client.client import DEFAULT_TARGET, DEFAULT_TIMEOUT_SECONDS, Client
from serving.client.errors import (
    FailedPrecondition,
    InvalidArgument,
    InvalidInput,
    NotFound,
    ServingError,
)
from serving.client.fitting import choose_signature

SERVER_FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
_USER_ERRORS = (InvalidInput, InvalidArgument, NotFound, FailedPrecondition)

_EPILOG = """\
inputs are written name=value. For a string input the value is the text itself, @FILE for a
file's bytes, or a JSON list of strings; for any other input a JSON number, boolean or list.

  python -m serving.client status gpt
  python -m serving.client metadata gpt
  python -m serving.client predict gpt --signature=generate prompt="The with" max_new_tokens=50
  python -m serving.client predict gpt --signature=generate prompt='["Some", "words"]'
"""


class _Parser(argparse.ArgumentParser):
    """A wrong command line is answered with one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR, f"serving.client: {message} (--help explains)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the process's exit status."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        answer = _run(options)
        print(answer, flush=True)
    except ServingError as error:
        print(f"serving.client: {sentence(str(error))}", file=sys.stderr)
        return USER_ERROR if isinstance(error, _USER_ERRORS) else SERVER_FAILED
    except KeyboardInterrupt:
        print("serving.client: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SERVER_FAILED
    return 0


def sentence(message: str) -> str:
    """What a failed check in the model says, without TensorFlow's frame around it."""
    match = re.match(r"assertion failed: \[(.*)\]", message.split("\n")[0])
    return re.sub(r"\\(.)", r"\1", match[1]) if match else message


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m serving.client",
        description="Ask a model that TF Serving or serving.server serves.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("verb", choices=("predict", "metadata", "status"))
    add("model", help="the model's name on the server")
    add("inputs", nargs="*", metavar="name=value", help="inputs of predict")
    add("--target", default=DEFAULT_TARGET, metavar="HOST:PORT", help="default %(default)s")
    add("--signature", default="serving_default", metavar="NAME", help="default %(default)s")
    add("--version", type=int, metavar="N", help="default: the latest")
    add("--label", metavar="LABEL", help="choose the version by its label")
    add("--outputs", default="", metavar="A,B", help="compute these outputs only")
    add("--timeout-seconds", type=_seconds, default=DEFAULT_TIMEOUT_SECONDS, metavar="S",
        help="default %(default)g")  # fmt: skip
    add("--wait", type=_seconds, metavar="S", help="wait up to S seconds for the model first")
    add("--json", action="store_true", help="print JSON")
    options = parser.parse_intermixed_args([_with_dashes(a) for a in arguments])
    if options.inputs and options.verb != "predict":
        parser.error(f"{options.verb} takes no inputs, such as {options.inputs[0]!r}")
    return options


def _with_dashes(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _run(options: argparse.Namespace) -> str:
    with Client(options.target, timeout_seconds=options.timeout_seconds) as client:
        if options.wait is not None:
            client.wait_until_ready(options.model, timeout_seconds=options.wait)
        if options.verb == "status":
            statuses = client.status(options.model, version=options.version)
            if options.json:
                return _json(display.status_json(statuses))
            return display.status_text(options.model, statuses)
        metadata = client.metadata(options.model, version=options.version, label=options.label)
        if options.verb == "metadata":
            if options.json:
                return _json(display.metadata_json(metadata))
            return display.metadata_text(metadata)
        signature = choose_signature(metadata, options.signature)
        outputs = client.predict(
            options.model,
            parse_inputs(options.inputs, signature),
            signature=options.signature,
            version=options.version,
            label=options.label,
            outputs=[name for name in options.outputs.split(",") if name],
            text=False,  # bytes are shown as what they are
        )
        if options.json:
            return _json(display.outputs_json(outputs))
        return display.outputs_text(outputs)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

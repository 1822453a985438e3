"""`python -m serving.client VERB MODEL`: the client for a shell.

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
from serving.client.arguments import parse_features, parse_inputs
from serving.client.client import DEFAULT_TARGET, DEFAULT_TIMEOUT_SECONDS, Client
from serving.client.errors import (
    FailedPrecondition,
    InvalidArgument,
    InvalidInput,
    NotFound,
    ServingError,
)
from serving.client.fitting import choose_signature

ASKING = ("predict", "classify", "regress")
VERBS = (*ASKING, "metadata", "status", "reload")
SERVER_FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
_USER_ERRORS = (InvalidInput, InvalidArgument, NotFound, FailedPrecondition)

_EPILOG = """\
verbs: predict, classify and regress ask a model; metadata and status tell about it; reload takes
a file instead, a text ModelServerConfig, and makes the server serve what it lists, and no more.

inputs are written name=value. For a string input the value is the text itself, @FILE for a
file's bytes, or a JSON list of strings; for any other input a JSON number, boolean or list.
For classify and regress they are the features of one example: 1.0 is a float, 1 a whole number.

  python -m serving.client status gpt
  python -m serving.client metadata gpt
  python -m serving.client predict gpt --signature=generate prompt="The with" max_new_tokens=50
  python -m serving.client predict gpt --signature=generate prompt='["Some", "words"]'
  python -m serving.client classify iris --label=stable width=1.5 height=[0.2]
  python -m serving.client reload models.config
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
    add("verb", choices=VERBS)
    add("model", help="the model's name on the server; for reload a file")
    add("inputs", nargs="*", metavar="name=value", help="what to ask")
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
    if options.inputs and options.verb not in ASKING:
        parser.error(f"{options.verb} takes no inputs, such as {options.inputs[0]!r}")
    if options.verb == "reload" and options.wait is not None:
        parser.error("reload waits for its models anyway, up to --timeout-seconds; omit --wait")
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
        return _ANSWERS[options.verb](client, options)


def _status(client: Client, options: argparse.Namespace) -> str:
    statuses = client.status(options.model, version=options.version)
    if options.json:
        return _json(display.status_json(statuses))
    return display.status_text(options.model, statuses)


def _metadata(client: Client, options: argparse.Namespace) -> str:
    metadata = client.metadata(options.model, version=options.version, label=options.label)
    return (
        _json(display.metadata_json(metadata))
        if options.json
        else (display.metadata_text(metadata))
    )


def _predict(client: Client, options: argparse.Namespace) -> str:
    metadata = client.metadata(options.model, version=options.version, label=options.label)
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


def _classify(client: Client, options: argparse.Namespace) -> str:
    (classes,) = client.classify(
        options.model,
        [parse_features(options.inputs)],
        signature=options.signature,
        version=options.version,
        label=options.label,
    )
    if options.json:
        return _json([entry._asdict() for entry in classes])
    return display.classes_text(classes)


def _regress(client: Client, options: argparse.Namespace) -> str:
    (value,) = client.regress(
        options.model,
        [parse_features(options.inputs)],
        signature=options.signature,
        version=options.version,
        label=options.label,
    ).tolist()
    return _json(value) if options.json else f"{value:.7g}"


def _reload(client: Client, options: argparse.Namespace) -> str:
    client.reload(options.model)
    return _json({}) if options.json else f"the server serves what {options.model} lists"


_ANSWERS = {
    "predict": _predict,
    "classify": _classify,
    "regress": _regress,
    "metadata": _metadata,
    "status": _status,
    "reload": _reload,
}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

"""What every command shares: how it reads its words, and how it ends when something is wrong.

Exit status: 0 done, 1 the machine failed, 2 something the user gave cannot be used, 130 Ctrl-C,
143 SIGTERM.
"""

import dataclasses
import difflib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import tyro

from training import signals
from training.config import UserError

F = TypeVar("F")
RUN_DIR = "--run-dir"


def guard(name: str, work: Callable[[], int], *, failed: str = "", interrupted: str = "") -> int:
    """Does the work of a command; gives its exit status, with a sentence where it is not 0.

    Args:
        name: The command, in front of each sentence.
        failed: What the user should know after an error of the machine.
        interrupted: The same after Ctrl-C or SIGTERM.
    """

    def say(sentence: str, more: str) -> None:
        print(f"{name}: {sentence}{f'; {more}' if more else ''}.", file=sys.stderr)

    try:
        with signals.raised():
            return work()
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        say(f"{error.strerror or error}{where}", failed)
        return 1
    except KeyboardInterrupt as end:
        print(file=sys.stderr)  # behind the ^C that the terminal shows
        terminated = isinstance(end, signals.Terminated)
        say("terminated" if terminated else "interrupted", interrupted)
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


def parse(kind: type[F], argv: Sequence[str], *, name: str) -> F:
    """The flags of a command that reads runs; run folders may be plain words or `--run-dir=`.

    Raises:
        UserError: an unknown flag.
        SystemExit: tyro's help (0) or its message about a value (2).
    """
    words = [run_dir_as_word(w) for w in argv if w.replace("_", "-") != RUN_DIR]
    fields: Any = kind
    check_names(words, (field.name for field in dataclasses.fields(fields)))
    return tyro.cli(kind, prog=f"python -m {name}", args=words)


def run_dir_as_word(word: str) -> str:
    """`--run-dir=FOLDER` as `FOLDER`; any other word as it is."""
    flag, _, folder = word.partition("=")
    return folder if flag.replace("_", "-") == RUN_DIR else word


def check_names(
    argv: Iterable[str], fields: Iterable[str], *, where: Callable[[str], str] = lambda name: ""
) -> None:
    """Raises UserError for a flag that does not exist; the message names the nearest.

    Args:
        where: What there is to say of a name after it.
    """
    names = ["--" + name.replace("_", "-") for name in ("help", *fields)]
    for word in argv:
        name = word.split("=")[0].replace("_", "-")
        if name.startswith("--") and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"There is no flag {name}{where(name)}.{hint} --help lists them all.")


def program() -> str:
    """How to run Python the way this process was run, for commands to paste."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ:
        return "uv run python"
    for name in ("python", "python3"):
        if shutil.which(name) == sys.executable:
            return name
    return sys.executable

"""How commands read their words, and how they end."""

import dataclasses
import pathlib

import pytest
import tyro

from training import command
from training.config import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    run_dir: tyro.conf.Positional[pathlib.Path]
    eval_batches: int = 1


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (UserError("x is 3; it must be 4."), 2, "me: x is 3; it must be 4.\n"),
        (OSError(28, "No space left on device", "file"), 1, "me: No space left on device (file)"),
        (OSError("odd"), 1, "me: odd; it is kept.\n"),
        (KeyboardInterrupt(), 130, "\nme: interrupted; it goes on.\n"),
    ],
)
def test_an_error_is_a_status_and_a_sentence(capsys, error, status, sentence):
    work = lambda: fail(error)  # noqa: E731
    assert command.guard("me", work, failed="it is kept", interrupted="it goes on") == status
    assert sentence in capsys.readouterr().err


def test_what_goes_well_and_what_is_a_fault_pass_through():
    assert command.guard("me", lambda: 0) == 0
    with pytest.raises(ZeroDivisionError):
        command.guard("me", lambda: 1 // 0)


@pytest.mark.parametrize(
    "words",
    [
        ["runs/a", "--eval-batches=3"],
        ["--eval-batches", "3", "runs/a"],
        ["--run-dir=runs/a", "--eval_batches=3"],
        ["--eval-batches=3", "--run_dir", "runs/a"],
    ],
)
def test_a_run_folder_is_a_word_or_a_flag(words):
    expected = Flags(run_dir=pathlib.Path("runs/a"), eval_batches=3)
    assert command.parse(Flags, words, name="me") == expected


def test_an_unknown_flag_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="no flag --eval-batch. Did you mean --eval-batches?"):
        command.parse(Flags, ["runs/a", "--eval-batch=3"], name="me")

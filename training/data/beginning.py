"""The command: how a game begins, as the client takes it for a value.

    python -m training.data.beginning ALE/Breakout-v5

It prints the first state as JSON, rows of rows of channels, of a batch of one.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import tyro

from training import command
from training.config import UserError
from training.data import gymnasium
from training.data.table import Table, states


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Prints the first state of a game.

    Attributes:
        environment: Such as CartPole-v1, MinAtar/Breakout-v0 or ALE/Breakout-v5.
        seed: Decides the game.
    """

    environment: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENVIRONMENT")]
    seed: int = 0


def state(environment: str, seed: int) -> np.ndarray:
    """The first state of a game, [1, ...].

    Raises:
        UserError: there is no such environment.
    """
    try:
        table = Table(gymnasium.make(environment, 1), seed)
    except ValueError as error:
        raise UserError(str(error)) from None
    return states(table.begin(np.zeros(1, np.int64)))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""

    def work() -> int:
        words = sys.argv[1:] if argv is None else argv
        flags = command.parse(Flags, words, name="training.data.beginning")
        text = str(state(flags.environment, flags.seed).tolist())
        print(text.replace(" ", ""))
        return 0

    return command.guard("training.data.beginning", work)


if __name__ == "__main__":
    sys.exit(main())

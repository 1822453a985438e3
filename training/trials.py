"""The trials of a sweep: which flags vary, and which values each trial takes.

A flag varies where its value is a list, `1e-3,3e-3`, or a range, `uniform:0:0.3` or
`log-uniform:1e-4:1e-2`. A range between whole numbers gives whole numbers.
"""

import dataclasses
import hashlib
import itertools
import math
import random
import re
from collections.abc import Mapping, Sequence

from training.config import UserError

Words = tuple[str, ...]  # the values behind one flag; most flags have one
RANGES = ("uniform", "log-uniform")
LONGEST_NAME = 120  # characters; file systems end at 255


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        values: The varied flags and the value each has here, as text.
        argv: All flags, for `training.run`.
        name: The trial's folder; it follows from the values alone.
    """

    values: Mapping[str, str]
    argv: tuple[str, ...]
    name: str


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, evenly on the scale's own axis."""

    scale: str
    low: float
    high: float
    whole: bool

    @classmethod
    def read(cls, flag: str, text: str) -> "Range":
        """`uniform:LOW:HIGH` or `log-uniform:LOW:HIGH`; raises UserError for anything else."""
        scale, _, ends = text.partition(":")
        try:
            low, high = map(float, ends.split(":"))
        except ValueError:
            low = high = math.nan
        if not (low < high < math.inf and (scale == "uniform" or low > 0)):
            above = " above 0" if scale != "uniform" else ""
            raise UserError(
                f"--{flag}={text} is no range; write {scale}:LOW:HIGH with two numbers{above}, the "
                "lower one first."
            )
        whole = all(re.fullmatch(r"-?\d+", end) for end in ends.split(":"))
        return cls(scale, low, high, whole)

    def draw(self, source: random.Random) -> str:
        """A number of the range as text."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.whole else (self.low, self.high)
        if self.scale == "uniform":
            value = source.uniform(low, high)
        else:
            value = math.exp(source.uniform(math.log(low), math.log(high)))
        if self.whole:
            return str(round(min(max(value, self.low), self.high)))
        return f"{value:.4g}"


def flags_of(argv: Sequence[str]) -> dict[str, Words]:
    """Flag -> its values, dashes for underscores: both `--steps=40` and `--steps 40`.

    Raises:
        UserError: a word without a flag, or a flag that comes twice.
    """
    found: dict[str, Words] = {}
    name = ""
    for word in argv:
        if word.startswith("--"):
            flag, joined, value = word[2:].partition("=")
            name = flag.replace("_", "-")
            if name in found:
                raise UserError(f"--{name} comes twice; give its values as a list, A,B.")
            found[name] = (value,) if joined else ()
        elif not name:
            raise UserError(f"{word!r} is no flag; a sweep takes --FLAG=VALUE only.")
        else:
            found[name] += (word,)
    return found


def is_range(words: Words) -> bool:
    """Whether a flag's value is a range."""
    return len(words) == 1 and words[0].partition(":")[0] in RANGES and ":" in words[0]


def varied(flags: Mapping[str, Words]) -> dict[str, str]:
    """The flags that vary, with the text that says how."""
    return {f: w[0] for f, w in flags.items() if is_range(w) or (len(w) == 1 and "," in w[0])}


def choices(flag: str, text: str) -> list[str]:
    """The values of a list, each once; raises UserError where one is empty."""
    values = list(dict.fromkeys(text.split(",")))
    if "" in values:
        raise UserError(f"--{flag}={text} has an empty value; write A,B without blanks.")
    return values


def grid(flags: Mapping[str, Words]) -> list[Trial]:
    """Every combination of the lists, the last flag's values changing fastest.

    Raises:
        UserError: a range, which has no end of values.
    """
    how = varied(flags)
    for flag, text in how.items():
        if is_range((text,)):
            raise UserError(
                f"--{flag}={text} is a range, and a grid takes lists; give --sweep.kind=random, or "
                "values as A,B,C."
            )
    lists = [choices(flag, text) for flag, text in how.items()]
    return [_trial(flags, dict(zip(how, row, strict=True))) for row in itertools.product(*lists)]


def draws(flags: Mapping[str, Words], *, count: int, seed: int) -> list[Trial]:
    """Up to `count` different trials, drawn from lists and ranges.

    Trial n is the same whatever the count is, so that a larger count goes on. There are fewer where
    lists have fewer combinations.
    """
    how: dict[str, Range | list[str]] = {
        flag: Range.read(flag, text) if is_range((text,)) else choices(flag, text)
        for flag, text in varied(flags).items()
    }
    found: dict[str, Trial] = {}
    for number in range(100 * count):
        source = random.Random(f"{seed}/{number}")
        values = {
            flag: values.draw(source) if isinstance(values, Range) else source.choice(values)
            for flag, values in how.items()
        }
        trial = _trial(flags, values)
        found.setdefault(trial.name, trial)
        if len(found) == count:
            break
    return list(found.values())


def short(flags: Sequence[str]) -> list[str]:
    """Flags by their last word where that tells them apart: `learning-rate`."""
    last = [flag.rpartition(".")[2] for flag in flags]
    return [name if last.count(name) == 1 else flag for flag, name in zip(flags, last, strict=True)]


def _trial(flags: Mapping[str, Words], values: Mapping[str, str]) -> Trial:
    argv: list[str] = []
    for flag, words in flags.items():
        given = (values[flag],) if flag in values else words
        argv += [f"--{flag}={given[0]}"] if len(given) == 1 else [f"--{flag}", *given]
    pairs = zip(short(list(values)), values.values(), strict=True)
    name = ",".join(f"{flag}={value}" for flag, value in pairs)
    safe = re.sub(r"[^\w.,=+-]", "-", name)
    if safe != name or len(name) > LONGEST_NAME:
        safe = f"{safe[: LONGEST_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return Trial(values, tuple(argv), safe)

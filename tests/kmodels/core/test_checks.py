"""What a config refuses is said with its name, what was given and what is allowed."""

import dataclasses
from typing import Literal

import pytest

from kmodels.core import checks


@dataclasses.dataclass
class Config:
    depth: int | None = 2
    dropout: float = 0.5
    norm: Literal["pre", "post"] = "pre"
    channels: int = 3


def check(config):
    checks.at_least_one(config, "depth")
    checks.rates(config, "dropout")
    checks.choices(config, "norm")
    checks.channels(config)


@pytest.mark.parametrize(
    "good", [{}, {"depth": None}, {"depth": 1}, {"dropout": 0.0}, {"norm": "post"}, {"channels": 1}]
)
def test_what_is_allowed_passes(good):
    check(Config(**good))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"depth": 0}, "config.depth is 0; it must be at least 1"),
        ({"dropout": 1.0}, r"config.dropout is 1.0; it must lie in \[0, 1\)"),
        ({"dropout": -0.1}, "config.dropout is -0.1"),
        ({"norm": "past"}, r"no config.norm 'past'. Did you mean 'post'\? Allowed: pre, post"),
        ({"channels": 2}, "config.channels is 2; a picture has 1 or 3"),
    ],
)
def test_what_is_not_is_a_sentence(wrong, words):
    with pytest.raises(ValueError, match=words):
        check(Config(**wrong))

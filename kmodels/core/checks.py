"""What the configs of papers refuse, each in one sentence: what was given and what is allowed."""

from typing import Any, get_args, get_type_hints

from kmodels.core import zoo


def at_least_one(config: Any, *names: str) -> None:
    """Raises ValueError unless each field is None or at least 1."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"config.{name} is {value}; it must be at least 1.")


def rates(config: Any, *names: str) -> None:
    """Raises ValueError unless each field lies in [0, 1)."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ValueError(f"config.{name} is {value}; it must lie in [0, 1).")


def choices(config: Any, *names: str) -> None:
    """Raises ValueError unless each field is one of its type's literals."""
    hints = get_type_hints(type(config))
    for name in names:
        value, allowed = getattr(config, name), list(get_args(hints[name]))
        if value not in allowed:
            raise ValueError(zoo.unknown(f"config.{name}", value, allowed))


def channels(config: Any) -> None:
    """Raises ValueError unless pictures are grey or coloured."""
    if config.channels not in (1, 3):
        raise ValueError(f"config.channels is {config.channels}; a picture has 1 or 3.")

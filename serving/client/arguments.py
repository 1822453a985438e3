"""`name=value` words of the command line -> values for the client's calls.

What a word means depends on the dtype of the input it names: for string inputs the text itself,
for all others a JSON number, boolean or list. Features of an example have no declared dtype:
there the value decides.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.client.errors import InvalidInput
from serving.client.signatures import Signature


def parse_inputs(words: Sequence[str], signature: Signature) -> dict[str, Any]:
    """The values by input name; names unknown to the signature are left for `predict` to refuse.

    Raises:
        InvalidInput: if a word is not `name=value`, repeats a name, or its value does not parse.
    """
    values: dict[str, Any] = {}
    for name, text in _split(words).items():
        spec = signature.inputs.get(name)
        is_text = spec is None or spec.dtype == "string"
        values[name] = _text_value(name, text) if is_text else _number_value(name, text)
    return values


def parse_features(words: Sequence[str]) -> dict[str, Any]:
    """One tf.Example's features by name: JSON where the value is JSON, else the text itself.

    Raises:
        InvalidInput: if a word is not `name=value`, repeats a name, or names no file.
    """
    return {name: _feature(name, text) for name, text in _split(words).items()}


def _feature(name: str, text: str) -> Any:
    if text.startswith("@"):
        return _read(name, text[1:])
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _split(words: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise InvalidInput(f"inputs are written name=value, not {word!r}")
        if name in texts:
            raise InvalidInput(f"input {name!r} is given twice; a list is written {name}='[a, b]'")
        texts[name] = text
    return texts


def _text_value(name: str, text: str) -> Any:
    """`@path` is a file's bytes, a JSON list of strings that list, anything else itself."""
    if text.startswith("@"):
        return _read(name, text[1:])
    if text.startswith("["):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if _only_strings(value) else text
    return text


def _only_strings(value: Any) -> bool:
    if isinstance(value, list):
        return all(_only_strings(element) for element in value)
    return isinstance(value, str)


def _number_value(name: str, text: str) -> Any:
    """A JSON number, boolean or list of these, given here or as `@path` in a file."""
    if text.startswith("@"):
        text = _read(name, text[1:]).decode(errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise InvalidInput(
            f"input {name!r} takes a number, true, false or a JSON list of these, not {shown!r}"
        ) from error


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(
            f"input {name!r} names the file {path!r}: {reason} "
            f"(to send a text that starts with @, write {name}='[\"@...\"]')"
        ) from error

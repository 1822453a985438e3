"""How a codec is read back from the folder that its `save` wrote."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

DESCRIPTION = "codec.json"


def load(folder: pathlib.Path | str) -> Any:
    """The codec that `save(folder)` wrote.

    Raises:
        ValueError: the folder does not hold a complete codec.
    """
    from kmodels.core.codecs.byte_pairs import BytePairs
    from kmodels.core.codecs.characters import Characters
    from kmodels.core.codecs.features import Features
    from kmodels.core.codecs.images import Images

    file = pathlib.Path(folder) / DESCRIPTION
    description = read_json(file)
    fields = dict(description) if isinstance(description, dict) else {}
    kind = fields.pop("codec", None)
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    makers: dict[Any, Callable[[], Any]] = {
        "byte_pairs": lambda: BytePairs.from_folder(file.parent),
        "characters": lambda: Characters(**fields),
        "features": lambda: Features(**fields),
        "images": lambda: Images.from_folder(file.parent, fields),
    }
    if kind not in makers:
        allowed = ", ".join(map(repr, makers))
        raise ValueError(f"{file} names the codec {kind!r}. Allowed: {allowed}.")
    try:
        return makers[kind]()
    except (TypeError, AttributeError, OSError) as error:
        raise ValueError(f"{file} is not a codec: {error}.") from error


def save(folder: pathlib.Path, kind: str, **fields: Any) -> None:
    """Writes `codec.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"codec": kind, **fields}, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def read_json(file: pathlib.Path) -> Any:
    """The value in a JSON file.

    Raises:
        ValueError: the file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot read {file}: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{file} is not valid JSON: {error}.") from error

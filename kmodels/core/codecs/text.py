"""What a text codec offers, and how one is read back from a folder."""

import json
import pathlib
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

DESCRIPTION = "codec.json"


class TextCodec(Protocol):
    """Turns text into token ids and back, in Python and inside an exported graph.

    Attributes:
        vocab: How many tokens there are; ids are 0 .. vocab - 1.
        end: The id of the end-of-text token, None where there is none.
        resources: Trackables (lookup tables) that an exported `tf.Module` holds as attributes.
    """

    @property
    def vocab(self) -> int: ...

    @property
    def end(self) -> int | None: ...

    @property
    def resources(self) -> tuple[Any, ...]: ...

    def tokens(self, text: str) -> np.ndarray:
        """The ids of one text, int32 [n]; the fast path for whole corpora.

        Raises:
            ValueError: the text has a character that this codec cannot represent.
        """

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        """string [B] -> int32 [B, None], the ids that `tokens` gives; traceable.

        Raises:
            tf.errors.InvalidArgumentError: a text that this codec cannot represent.
        """

    def decode(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """int32 [B, None] -> string [B], always valid UTF-8; traceable.

        Bytes that do not form a character become U+FFFD.
        """

    def piece(self, tokens: tf.Tensor) -> tf.Tensor:
        """int32 [...] -> string [...], the raw bytes of each token alone; traceable."""

    def save(self, folder: pathlib.Path) -> None:
        """Writes the files from which `load(folder)` makes an equal codec."""


def load(folder: pathlib.Path | str) -> TextCodec:
    """The codec that `save(folder)` wrote.

    Raises:
        ValueError: the folder does not hold a complete codec.
    """
    from kmodels.core.codecs.byte_pairs import BytePairs
    from kmodels.core.codecs.characters import Characters

    file = pathlib.Path(folder) / DESCRIPTION
    description = read_json(file)
    kind = description.get("codec") if isinstance(description, dict) else None
    if kind == "characters":
        characters = description.get("characters")
        if not isinstance(characters, str):
            raise ValueError(f"{file} is not a codec: its 'characters' are not a string.")
        return Characters(characters)
    if kind == "byte_pairs":
        return BytePairs.from_folder(file.parent)
    raise ValueError(f"{file} names the codec {kind!r}. Allowed: 'byte_pairs', 'characters'.")


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


def require_utf8(text: tf.Tensor) -> tf.Tensor:
    """string [B] -> the same strings, once each is known to be valid UTF-8; traceable.

    Raises:
        tf.errors.InvalidArgumentError: one is not; the message names its row.
    """
    clean = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    wrong = tf.where(clean != text)[:, 0]  # [rows], int64
    message = tf.strings.format(
        "text {} is not valid UTF-8; send text encoded as UTF-8", tf.reduce_min(wrong)
    )
    check = tf.debugging.Assert(tf.equal(tf.size(wrong), 0), [message])
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(text)

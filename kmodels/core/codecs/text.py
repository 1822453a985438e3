"""What a text codec offers."""

import pathlib
from typing import Any, Protocol

import numpy as np
import tensorflow as tf


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

"""Cuts texts into the words of GPT-2's pattern, inside a graph.

The pattern looks ahead (`\\s+(?!\\S)`: blanks, but not the last one before a word), which
TensorFlow's regular expressions cannot do. So marks are set first: two bytes that never occur in
UTF-8, which therefore no expression matches and no user can send.
"""

import functools
import re

import tensorflow as tf
from tokenizers import Regex, pre_tokenizers

CUT = b"\xff"  # between two words
SPECIAL = b"\xfe"  # stands for the end token, as a word of its own
PLANES = 0x40000  # code points; past those nothing is a blank, a letter or a digit


def words(text: tf.Tensor, end: str) -> tf.RaggedTensor:
    """string [B], valid UTF-8 -> string [B, None]; joined they are the text again.

    Args:
        text: What to cut.
        end: The spelling of the end token, which becomes the word `SPECIAL`; "" for none.
    """
    blank = _members(r"\s")
    letter = _members(r"\p{L}")
    digit = _members(r"\p{N}")
    if end:
        text = tf.strings.regex_replace(text, re.escape(end), CUT + SPECIAL + CUT)
    text = tf.strings.regex_replace(
        text, f"([{blank}])([{blank}])([^{blank}])", b"\\1" + CUT + b"\\2\\3"
    )
    pattern = (
        f"'s|'t|'re|'ve|'m|'ll|'d| ?[{letter}]+| ?[{digit}]+"
        f"| ?[^{blank}{letter}{digit}]+|[{blank}]+"
    )
    text = tf.strings.regex_replace(text, f"({pattern})", b"\\1" + CUT)
    pieces = tf.strings.split(text, CUT)
    return tf.ragged.boolean_mask(pieces, pieces != "")


@functools.cache
def _members(expression: str) -> str:
    """All characters that match, as ranges for a bracket.

    Asked of the `tokenizers` library, since its Unicode tables and TensorFlow's differ in age.
    """
    characters = "".join(map(chr, (*range(0xD800), *range(0xE000, PLANES))))
    keep = pre_tokenizers.Split(Regex(f"{expression}+"), "removed", invert=True)
    ranges = []
    for run, _ in keep.pre_tokenize_str(characters):
        points = [ord(character) for character in run]
        start = points[0]
        for point, following in zip(points, [*points[1:], -1], strict=True):
            if following != point + 1:
                ranges.append(f"\\x{{{start:x}}}-\\x{{{point:x}}}")
                start = following
    return "".join(ranges)

"""Python's own language reference, as every Python carries it for `help()`: no network, no files.

The text is part of the interpreter, so it changes a little between releases of Python 3.11.
"""

import pathlib
import pydoc_data.topics
import re

# To ASCII by meaning, so that hardly a character is too rare to be learnt. The price: the one
# sentence that says what casefold() does to a German sharp s now reads oddly.
PLAIN = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "--",
        "\u2026": "...",
        "\u00a0": " ",
        "\u00b0": "deg ",
        "\u00df": "ss",
    }
)
RULE = re.compile(r"\s*([^\w\s])\1{2,}\s*")  # a line under a heading
TABLE = re.compile(r"\s*[+|].*[+|]\s*")  # a line of a table drawn with + and |


def read(data_dir: pathlib.Path | None) -> str:
    """All topics in alphabetical order, each paragraph once, as ASCII.

    Topics quote each other, about a fifth of the whole; without the repeats the held-out tenth
    is text that training has not seen. Lines under headings and drawn tables are left out.

    Raises:
        ValueError: a folder is given, which this source has no use for.
    """
    if data_dir is not None:
        raise ValueError(
            f"--data=docs is embedded and reads no folder, and --data-dir={data_dir} was given; "
            "--data=text reads files and folders."
        )
    topics = pydoc_data.topics.topics
    seen: set[str] = set()
    paragraphs = []
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", _plain(topics[name])):
            words = " ".join(paragraph.split())
            if words and words not in seen:
                seen.add(words)
                paragraphs.append(paragraph.strip("\n"))
    return "\n\n".join(paragraphs) + "\n"


def _plain(topic: str) -> str:
    """ASCII, without rules, tables and blanks at the ends of lines."""
    ascii_only = topic.translate(PLAIN).encode("ascii", "replace").decode()
    lines = (line.rstrip() for line in ascii_only.split("\n"))
    return "\n".join(x for x in lines if not RULE.fullmatch(x) and not TABLE.fullmatch(x))

"""Parts of a page that a script writes, between `<!-- NAME -->` and `<!-- /NAME -->`."""

import pathlib
import sys

README = pathlib.Path(__file__).parents[1] / "README.md"


def replaced(page: str, name: str, text: str) -> str:
    """The page with the block's content set to `text`.

    Raises:
        ValueError: the page does not hold the block exactly once.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise ValueError(f"There must be one line {start.strip()}, then one line {end.strip()}.")
    before, rest = page.split(start)
    return f"{before}{start}\n{text.strip()}\n\n{end}{rest.split(end)[1]}"


def main(name: str, text: str, *, page: pathlib.Path = README) -> int:
    """Writes the block into the page; with `--check` only says whether that is needed."""
    old = page.read_text(encoding="utf-8")
    new = replaced(old, name, text)
    if "--check" not in sys.argv[1:]:
        page.write_text(new, encoding="utf-8")
    elif new != old:
        print(f"{page.name}: the block {name!r} is old; run: make {name}", file=sys.stderr)
        return 1
    return 0

"""The gallery in the README: every paper of the zoo with its presets and their parameters.

python -m docs.gallery [--check]
"""

import sys
from typing import Any

from docs import blocks
from training import quiet

with quiet.startup():
    from kmodels.core import zoo
    from kmodels.core.paper import Paper


def table() -> str:
    """One row a paper in the order of history, one line in it a preset."""
    papers = {name: zoo.load(name) for name in zoo.names()}
    rows = [
        "| model | paper | year | preset | parameters |",
        "|---|---|--:|---|--:|",
        *(row(n, p) for n, p in sorted(papers.items(), key=lambda x: (x[1].PAPER.year, x[0]))),
    ]
    return "\n".join(rows)


def row(name: str, paper: Paper) -> str:
    """One paper's row of the table."""
    citation = paper.PAPER
    presets = "<br>".join(f"`{preset}`" for preset in paper.PRESETS)
    counts = "<br>".join(count(paper, config) for config in paper.PRESETS.values())
    title = f"[{citation.title}]({citation.url})"
    return f"| `{name}` | {title} | {citation.year} | {presets} | {counts} |"


def count(paper: Paper, config: Any) -> str:
    """The number of parameters, or why there is none yet."""
    if zoo.open_fields(config):
        return "set by its data"
    return f"{paper.param_count(config):,}"


if __name__ == "__main__":
    sys.exit(blocks.main("gallery", table()))

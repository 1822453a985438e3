"""The command: a run folder to report.html, one page that needs nothing beside it.

    python -m training.report runs/gpt-char-docs

Beside it go the curves as pictures and README.md, the model card. Every run writes them when it
ends or stops.
"""

import base64
import dataclasses
import html
import os
import pathlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import tyro

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from training import quiet
from training.config import UserError
from training.files import write_atomically

MOST_SAMPLES = 24  # shown, evenly spaced over the run
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.under { color: #666; margin-top: .2rem; }
svg { width: 100%; height: auto; }
table { border-collapse: collapse; } th { text-align: left; font-weight: normal; color: #666; }
td, th { padding: .15rem 1.2rem .15rem 0; vertical-align: top;
         border-bottom: 1px solid #eee; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
pre { background: #f6f6f4; padding: .7rem .9rem; white-space: pre-wrap; overflow-wrap: anywhere;
      font-size: 13px; }
figure { margin: 0 0 1rem; } figcaption { color: #666; }
img { image-rendering: pixelated; max-width: 100%; min-width: 12rem; }
"""


def write(folder: pathlib.Path) -> pathlib.Path:
    """Writes report.html, curves.png, curves.svg and README.md into a run folder.

    Raises:
        UserError: the folder holds no run.
    """
    from training import model_card, plots, record

    told = record.read(folder)
    figure = plots.curves(told.entries, unit=told.unit, title=told.name)
    picture = plots.save(figure, folder)
    model_card.write(told)
    report = folder / "report.html"
    write_atomically(report, page(told, picture))
    return report


def page(told: Any, picture: str) -> str:
    """The page of a run's record and its curves as SVG."""
    from training import record

    state = "Finished" if told.finished else "Not finished"
    paper = told.paper.PAPER
    parts = [
        f"<h1>{_text(told.name)}</h1>",
        f'<p class="under">{_text(paper.title)}, {_text(paper.authors)}, {paper.year}. '
        f"{state}: step {told.step:,} of {told.run['recipe']['steps']:,}.</p>",
        "<h2>Curves</h2>",
        picture,
        "<h2>Numbers</h2>",
        _table(record.rows(told)),
        "<h2>Commands</h2>",
        *(f"<p>{_text(what)}</p><pre>{_text(line)}</pre>" for what, line in commands(told)),
        "<h2>Samples</h2>",
        *(list(_shown(told.folder)) or ["<p>None.</p>"]),
        "<h2>The run</h2>",
        _table(_flat({k: v for k, v in told.run.items() if k != "arguments"})),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{_text(told.name)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def commands(told: Any) -> Iterator[tuple[str, str]]:
    """What one may want to do next, and the command that does it."""
    from training import command

    python, run = command.program(), told.run
    given = shlex.join(run.get("arguments", []))
    base = shlex.quote(str(pathlib.Path(run["export_dir"]) / run["model"]))
    export_dir = shlex.quote(str(run["export_dir"]))
    folder = shlex.quote(str(told.folder))
    if given and told.finished:
        more = 2 * run["recipe"]["steps"]
        yield "Go on, to twice as many steps:", f"{python} -m training.run {given} --steps={more}"
    elif given:
        yield "Go on:", f"{python} -m training.run {given}"
    yield (
        "Export the best weights:",
        f"{python} -m training.export --run-dir={folder} --export-dir={export_dir}",
    )
    yield (
        "Serve the export:",
        f"{python} -m serving.server --port=8500 --model_name={run['model']} "
        f"--model_base_path={base}",
    )
    yield "Write this page anew:", f"{python} -m training.report {folder}"


def _shown(folder: pathlib.Path) -> Iterator[str]:
    """Animated pictures in a run's folder, then its samples."""
    for file in sorted(folder.glob("*.gif")):
        caption = f"<figcaption>{_text(file.stem)}</figcaption>"
        yield f"<figure>{caption}{_picture(file)}</figure>"
    yield from _samples(folder / "samples")


def _picture(file: pathlib.Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    name = _text(file.stem.partition("-")[2] or file.stem)
    return f'<img alt="{name}" src="data:image/{file.suffix[1:]};base64,{data}">'


def _samples(folder: pathlib.Path) -> Iterator[str]:
    from training.journals import samples

    found = samples.files(folder)
    every = max(len(found) / MOST_SAMPLES, 1.0)
    for i in range(min(len(found), MOST_SAMPLES)):
        step, file = found[len(found) - 1 - round(i * every)]
        name = file.stem.partition("-")[2]
        if file.suffix == ".png":
            shown = _picture(file)
        else:
            shown = f"<pre>{_text(file.read_text(encoding='utf-8'))}</pre>"
        caption = f"<figcaption>{_text(name)} at step {step:,}</figcaption>"
        yield f"<figure>{caption}{shown}</figure>"


def _table(rows: Mapping[str, Any]) -> str:
    lines = (f"<tr><th>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in rows.items())
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        flat |= {f"{prefix}{key}": value} if inner is None else inner
    return flat


def _text(value: Any) -> str:
    return html.escape(str(value))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Writes report.html, curves.png, curves.svg and README.md into a run's folder.

    Attributes:
        run_dir: A folder that `training.run` wrote.
    """

    run_dir: Annotated[pathlib.Path, tyro.conf.Positional]


def main() -> int:
    """Runs the command; gives its exit status."""
    given = tyro.cli(Flags, prog="python -m training.report")
    quiet.import_tensorflow()
    try:
        print(f"Wrote {write(given.run_dir)}.")
    except UserError as error:
        print(f"training.report: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"training.report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

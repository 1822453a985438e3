"""README.md of a run folder: a model card as the Hugging Face Hub reads it.

The front matter is YAML; each value is written as JSON, which is YAML too.
"""

import json
import re
from typing import Any

from training.files import write_atomically
from training.record import Record, rows

BODY = """
# {name}

{title} ({authors}, {year}), trained with kmodels: {state}.

![Loss, learning rate and speed over the steps](curves.png)

{table}

## How to use it

From a clone of kmodels, with this folder as `{folder}`:

    python -m training.export --run-dir={folder} --export-dir=exports
    python -m serving.server --port=8500 --model_name={model} --model_base_path=exports/{model}

The first writes a TensorFlow SavedModel, which TensorFlow Serving takes too. The weights are in
`checkpoints/`, a safetensors file for each step that was kept; `run.json` holds the configuration
and the recipe, `logs.jsonl` every number on the way.

## Training

Data `{data}`, SHA-256 of what was read {sha256}. {batch_size} examples in a step, seed {seed}.

## Citation

    @article{{{key},
      title  = {{{title}}},
      author = {{{names}}},
      year   = {{{year}}},
      url    = {{{url}}}
    }}

The licence is that of the code; what the model was trained on may set terms of its own.
"""


def write(record: Record) -> None:
    """Writes README.md."""
    write_atomically(record.folder / "README.md", card(record))


def card(record: Record) -> str:
    """Front matter and body."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in front(record).items()]
    return "\n".join(["---", *lines, "---"]) + "\n" + _body(record)


def front(record: Record) -> dict[str, Any]:
    """What the Hub makes its filters and its table of results from."""
    run, watch = record.run, record.run["recipe"]["watch"]
    task, data = run["recipe"]["objective"], run["recipe"]["data"]
    results = [
        {
            "task": {"type": task, "name": task.replace("_", " ")},
            "dataset": {"type": data, "name": data, "split": "held out"},
            "metrics": [{"type": watch, "name": f"{watch} on held-out data", "value": best[0]}],
        }
        for best in [record.best]
        if best
    ]
    index = {"model-index": [{"name": record.name, "results": results}]} if results else {}
    return {
        "library_name": "keras",
        "license": "apache-2.0",
        "tags": ["kmodels", "tensorflow", run["model"], run["preset"]],
        "metrics": [watch],
        **index,
    }


def _body(record: Record) -> str:
    run, paper = record.run, record.paper.PAPER
    steps = run["recipe"]["steps"]
    state = "finished" if record.finished else f"not finished, at step {record.step:,} of {steps:,}"
    table = ["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows(record).items())]
    return BODY.format(
        name=record.name,
        title=paper.title,
        authors=paper.authors,
        names=paper.authors.replace(" et al.", ", others").replace(", ", " and "),
        year=paper.year,
        url=paper.url,
        key=re.sub(r"\W", "", f"{run['model']}{paper.year}"),
        state=state,
        table="\n".join(table),
        folder=record.folder.name,
        model=run["model"],
        data=run["recipe"]["data"],
        sha256=run["data_sha256"],
        batch_size=run["recipe"]["batch_size"],
        seed=run["seed"],
    )

"""Weights & Biases; its own variables (WANDB_MODE, WANDB_PROJECT, ...) say where to and how."""

import hashlib
import html
import json
import os
from typing import Any

import wandb

from training.config import Run, to_json
from training.journals import Entry


class Wandb:
    """A sink. The same run folder is the same W&B run; steps told again are told as equal."""

    def __init__(self, run: Run) -> None:
        where = hashlib.sha256(str(run.run_dir.resolve()).encode())
        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "kmodels"),
            name=run.run_dir.name,
            id=where.hexdigest()[:16],
            resume="allow",
            dir=str(run.run_dir),
            config=json.loads(to_json(run)),
            settings=wandb.Settings(silent=True),
        )
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def write(self, entry: Entry) -> None:
        values: dict[str, Any] = {"step": entry.step}
        values |= {f"{entry.split}/{k}": v for k, v in entry.numbers.items()}
        for name, text in entry.texts.items():
            values[f"{entry.split}/{name}"] = wandb.Html(f"<pre>{html.escape(text)}</pre>")
        for name, picture in entry.pictures.items():
            values[f"{entry.split}/{name}"] = wandb.Image(picture)
        self.run.log(values)

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        pass

    def close(self) -> None:
        self.run.finish()


def make(run: Run) -> Wandb:
    """The sink of a run."""
    return Wandb(run)

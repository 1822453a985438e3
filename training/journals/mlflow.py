"""MLflow; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where to, else mlflow.db here."""

import contextlib
import json
import os
from typing import Any

import mlflow

from training import files
from training.config import Run, to_json
from training.journals import Entry


class Mlflow:
    """A sink. mlflow.json in the run folder holds the MLflow run that a resumed run goes on with.

    A step told twice is two equal points of a metric's history.
    """

    def __init__(self, run: Run) -> None:
        self.client: Any = mlflow.MlflowClient()
        stored = run.run_dir / "mlflow.json"
        with contextlib.suppress(FileNotFoundError):
            self.run_id = json.loads(stored.read_text())["run_id"]
            self.client.update_run(self.run_id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "kmodels")
        experiment = mlflow.set_experiment(name)
        made = self.client.create_run(experiment.experiment_id, run_name=run.run_dir.name)
        self.run_id = made.info.run_id
        self.client.log_dict(self.run_id, json.loads(to_json(run)), "run.json")
        for key in ("model", "preset", "seed", "precision"):
            self.client.log_param(self.run_id, key, getattr(run, key))
        files.write_atomically(stored, json.dumps({"run_id": self.run_id}) + "\n")

    def write(self, entry: Entry) -> None:
        for name, value in entry.numbers.items():
            self.client.log_metric(self.run_id, f"{entry.split}/{name}", value, step=entry.step)
        for name, text in entry.texts.items():
            self.client.log_text(self.run_id, text, f"samples/{entry.step:08d}-{name}.txt")
        for name, picture in entry.pictures.items():
            self.client.log_image(self.run_id, picture, f"samples/{entry.step:08d}-{name}.png")

    def rewind(self, step: int, *, evaluated: bool = True) -> None:
        pass

    def close(self) -> None:
        self.client.set_terminated(self.run_id)


def make(run: Run) -> Mlflow:
    """The sink of a run."""
    return Mlflow(run)

"""W&B and MLflow, the real packages without a network; each is an extra."""

import io
import json

import numpy as np
import pytest
import rich.console
import tensorflow as tf

from training import loop
from training.journal import Journal


@pytest.fixture
def train(make_run, make_learner, data):
    """Trains to a step with one journal; the same folder goes on."""

    def call(journal, steps):
        run = make_run(steps=steps, journals=(journal,))
        console = rich.console.Console(file=io.StringIO())
        loop.train(
            run,
            make_learner(run),
            data,
            Journal(run, unit="tokens", console=console),
            strategy=tf.distribute.get_strategy(),
            evaluators=[lambda: {"sample": "<words>", "grid": np.zeros([2, 3, 1], np.uint8)}],
        )
        return run

    return call


@pytest.mark.filterwarnings("ignore")  # of packages that are not pinned by our own tests
def test_mlflow_gets_the_run_and_a_resumed_one_is_the_same(train, monkeypatch, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    train("mlflow", 4)
    run = train("mlflow", 6)
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "kmodels"]
    (stored,) = client.search_runs([experiment.experiment_id])
    assert stored.info.status == "FINISHED"
    history = client.get_metric_history(stored.info.run_id, "train/loss")
    entries = map(json.loads, (run.run_dir / "logs.jsonl").read_text().splitlines())
    wanted = [(e["step"], e["loss"]) for e in entries if e["split"] == "train"]
    assert [(m.step, m.value) for m in history] == wanted
    names = {f.path for f in client.list_artifacts(stored.info.run_id, "samples")}
    assert {"samples/00000006-sample.txt", "samples/00000006-grid.png"} <= names


@pytest.mark.filterwarnings("ignore")
def test_wandb_gets_the_run_offline(train, monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb", reason="the extra wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = train("wandb", 4)
    (folder,) = (run.run_dir / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    assert wandb.__version__ and file.stat().st_size > 1000
    content = file.read_bytes()
    for name in (b"train/loss", b"eval/loss", b"eval/sample"):
        assert name in content
    assert list(folder.glob("files/media/images/eval/grid*.png"))

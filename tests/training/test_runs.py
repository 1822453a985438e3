"""Run folders, read back."""

import json
import shutil

import numpy as np
import pytest

from training import checkpoints, runs
from training.config import UserError, to_json


def test_the_best_checkpoint_is_published_not_the_last(trained, tmp_path):
    shutil.copytree(trained.run_dir, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    newest = checkpoints.everything(folder)[-1]
    meta = json.loads((newest / "meta.json").read_text())
    older = checkpoints.everything(folder)[0]
    (newest / "meta.json").write_text(json.dumps({**meta, "best_step": int(older.name)}))
    path = next(k for k in checkpoints.read(older)[1] if k.endswith("tokens/embeddings"))
    best = runs.tensors(tmp_path / "run")[path]
    assert np.array_equal(best, checkpoints.read(older)[1][path])
    assert not np.array_equal(best, checkpoints.read(newest)[1][path])


def test_damaged_checkpoints_are_passed_over(trained, tmp_path):
    shutil.copytree(trained.run_dir, tmp_path / "run")
    found = checkpoints.everything(tmp_path / "run" / "checkpoints")
    assert len(found) >= 2
    (found[-1] / "state.safetensors").write_bytes(b"")
    assert runs.tensors(tmp_path / "run")
    for checkpoint in found:
        (checkpoint / "meta.json").unlink()
    with pytest.raises(UserError, match="holds no readable checkpoint"):
        runs.tensors(tmp_path / "run")


def test_a_damaged_best_checkpoint_is_passed_over(trained, tmp_path):
    shutil.copytree(trained.run_dir, tmp_path / "run")
    found = checkpoints.everything(tmp_path / "run" / "checkpoints")
    meta = json.loads((found[-1] / "meta.json").read_text())
    (found[-1] / "meta.json").write_text(json.dumps({**meta, "best_step": int(found[0].name)}))
    (found[0] / "state.safetensors").write_bytes(b"")
    assert runs.tensors(tmp_path / "run").keys() == checkpoints.read(found[-1])[1].keys()


def test_a_run_is_read_back_as_it_was(undisturbed, make_run):
    run = runs.read(undisturbed.run_dir)
    assert to_json(run) == (undisturbed.run_dir / "run.json").read_text()
    assert run.config.width == 16 and run.recipe.optimizer.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda run: run["recipe"].pop("steps"), "recipe.steps is missing."),
        (lambda run: run["recipe"].update(pace=3), "recipe.pace is unknown."),
        (lambda run: run["config"].update(width="wide"), "config.width is 'wide'; allowed: int."),
        (lambda run: run["config"].update(heads=3), "does not divide into 3 heads"),
    ],
)
def test_a_run_of_another_version_is_refused(undisturbed, tmp_path, change, sentence):
    run = json.loads((undisturbed.run_dir / "run.json").read_text())
    change(run)
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(UserError) as caught:
        runs.read(tmp_path)
    assert "run.json is of another version of this project: " in str(caught.value)
    assert sentence in str(caught.value)


def test_a_model_that_is_gone_is_named(undisturbed, tmp_path):
    run = json.loads((undisturbed.run_dir / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**run, "model": "gtp"}))
    with pytest.raises(UserError, match="There is no model 'gtp'. Did you mean 'gpt'?"):
        runs.read(tmp_path)


def test_a_half_written_line_of_the_log_is_left_out(tmp_path):
    assert runs.entries(tmp_path) == []
    (tmp_path / "logs.jsonl").write_text('{"step": 1, "sample": "a\u2028b"}\n{"step": 2, "sp')
    assert runs.entries(tmp_path) == [{"step": 1, "sample": "a\u2028b"}]


def test_a_damaged_checkpoint_that_was_asked_for_is_not_replaced(undisturbed, tmp_path):
    shutil.copytree(undisturbed.run_dir, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "00000030" / "state.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="30 is damaged"):
        runs.tensors(tmp_path / "run", "30")
    assert runs.tensors(tmp_path / "run", "last")


def test_two_processes_do_not_write_one_run(tmp_path, undisturbed, commands, refused):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed.run_dir, folder)
    (folder / "export.json").unlink(missing_ok=True)
    argv = [a for a in undisturbed.argv if not a.startswith("--run-dir")]
    with runs.held(folder):
        ended = commands(*argv, f"--run-dir={folder}", f"--export-dir={tmp_path / 'exports'}")
    refused(ended, f"{folder} is being written by another process", "another --run-dir")
    assert not (tmp_path / "exports").exists()
    with runs.held(folder):
        pass


def test_a_run_that_never_wrote_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="no use"), runs.held(tmp_path / "run"):
        raise UserError("no use")
    assert not (tmp_path / "run").exists()

"""Export: checked against the Python model before anybody can see it."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from kmodels import gpt
from training import checkpoints, export
from training.config import UserError


def test_publishing_again_takes_the_next_number_and_shows_nothing_unfinished(
    trained, tmp_path, monkeypatch
):
    base = tmp_path / "gpt"
    for taken in ("3", "007", "notes"):
        (base / taken).mkdir(parents=True)
    seen = []
    verify = export.verify

    def watch(folder, *args):
        seen.extend(p.name for p in base.iterdir())
        verify(folder, *args)

    monkeypatch.setattr(export, "verify", watch)
    assert export.publish(trained.run_dir, tmp_path) == base / "8"
    assert not [name for name in seen if name.isdigit() and name not in ("3", "007")]
    assert sorted(os.listdir(base)) == ["007", "3", "8", "notes"]
    again, once = ((d / "card.json").read_text() for d in (base / "8", trained.version))
    changing = ("exported",)
    assert {k: v for k, v in json.loads(again).items() if k not in changing} == {
        k: v for k, v in json.loads(once).items() if k not in changing
    }


def test_a_wrong_answer_is_not_published(trained, tmp_path, monkeypatch):
    write = export.write

    def tampered(folder, model, *args):
        answers = write(folder, model, *args)
        answers["score"]["perplexity"] = answers["score"]["perplexity"] * 1.001
        return answers

    monkeypatch.setattr(export, "write", tampered)
    with pytest.raises(export.Rejected, match="score/perplexity differs by"):
        export.publish(trained.run_dir, tmp_path)
    assert os.listdir(tmp_path / "gpt") == []


def test_what_does_not_load_is_not_published(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(export.Rejected, match="does not answer in a fresh process"):
        export.verify(tmp_path, {}, {})


@pytest.mark.parametrize(
    ("python", "saved", "sentence"),
    [
        (np.float32([1, 2]), np.float32([1, 2.1]), "differs by"),
        (np.float32([1, 2]), np.float32([1, np.nan]), "differs by nan"),
        (np.float32([1, 2]), np.float32([1]), "score"),
        (np.int32([1, 2]), np.int32([1, 3]), "score"),
        (np.array([b"a."]), np.array([b"b."]), "b'b.'"),
    ],
)
def test_answers_that_differ_are_named(python, saved, sentence):
    with pytest.raises(export.Rejected) as caught:
        export.compare("score", python, saved)
    assert sentence in str(caught.value)


def test_answers_that_agree_pass():
    export.compare("x", np.float32([1, 2]), np.float32([1, 2.00005]))
    export.compare("x", np.float32([[]]), np.float32([[]]))
    export.compare("x", np.array([b"a."]), np.array([b"a."]))
    export.compare(
        "x", np.float32([5e4]), np.float32([5e4 + 1])
    )  # relative where numbers are large


@pytest.mark.parametrize(
    ("taken", "number"), [([], "1"), (["1"], "2"), (["9", "10"], "11"), (["notes", ".x"], "1")]
)
def test_the_next_number_is_one_above_the_highest(tmp_path, taken, number):
    base, part = tmp_path / "gpt", tmp_path / "part"
    for name in taken:
        (base / name).mkdir(parents=True)
    base.mkdir(exist_ok=True)
    (part / "variables").mkdir(parents=True)
    (part / "variables" / "file").write_text("x")
    assert export.move(part, base) == base / number
    assert (base / number / "variables" / "file").read_text() == "x"
    assert not part.exists()


def test_a_number_that_somebody_takes_meanwhile_is_left_to_them(tmp_path, monkeypatch):
    base, part = tmp_path / "gpt", tmp_path / "part"
    base.mkdir()
    part.mkdir()
    (part / "file").write_text("mine")
    rename, turns = pathlib.Path.rename, []

    def late(self, target):
        turns.append(target.name)
        if len(turns) == 1:
            target.mkdir()
            (target / "file").write_text("theirs")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", late)
    assert export.move(part, base) == base / "2"
    assert (base / "1" / "file").read_text() == "theirs"
    assert turns == ["1", "2"]


def test_signatures_carry_the_defaults(trained):
    saved = saved_model_pb2.SavedModel.FromString((trained.version / "saved_model.pb").read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    assert {"serving_default", "generate", "score"} <= set(signatures)
    for name in ("serving_default", "generate"):
        assert set(signatures[name].defaults) == set(signatures[name].inputs) - {"prompt"}
        assert signatures[name].defaults["max_new_tokens"].int_val == [100]
        assert signatures[name].defaults["top_p"].float_val == [1.0]
        assert signatures[name].defaults["stop"].string_val == [b""]
    assert not signatures["score"].defaults
    assert set(signatures["generate"].outputs) == {"text", "log_probs", "token_count"}


def test_the_best_checkpoint_is_published_not_the_last(trained, tmp_path):
    shutil.copytree(trained.run_dir, tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    newest = checkpoints.everything(folder)[-1]
    meta = json.loads((newest / "meta.json").read_text())
    older = checkpoints.everything(folder)[0]
    (newest / "meta.json").write_text(json.dumps({**meta, "best_step": int(older.name)}))
    path = next(k for k in checkpoints.read(older)[1] if k.endswith("tokens/embeddings"))
    best = export.best_weights(tmp_path / "run")[path]
    assert np.array_equal(best, checkpoints.read(older)[1][path])
    assert not np.array_equal(best, checkpoints.read(newest)[1][path])


def test_damaged_checkpoints_are_passed_over(trained, tmp_path):
    shutil.copytree(trained.run_dir, tmp_path / "run")
    found = checkpoints.everything(tmp_path / "run" / "checkpoints")
    assert len(found) >= 2
    (found[-1] / "state.safetensors").write_bytes(b"")
    assert export.best_weights(tmp_path / "run")
    for checkpoint in found:
        (checkpoint / "meta.json").unlink()
    with pytest.raises(UserError, match="holds no readable checkpoint"):
        export.best_weights(tmp_path / "run")


def test_a_damaged_best_checkpoint_is_passed_over(trained, tmp_path):
    shutil.copytree(trained.run_dir, tmp_path / "run")
    found = checkpoints.everything(tmp_path / "run" / "checkpoints")
    meta = json.loads((found[-1] / "meta.json").read_text())
    (found[-1] / "meta.json").write_text(json.dumps({**meta, "best_step": int(found[0].name)}))
    (found[0] / "state.safetensors").write_bytes(b"")
    assert export.best_weights(tmp_path / "run").keys() == checkpoints.read(found[-1])[1].keys()


def test_what_is_no_run_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["export", f"--run-dir={tmp_path}"])
    assert export.main() == 2
    assert "holds no run.json, so it is not a run" in capsys.readouterr().err
    (tmp_path / "run.json").write_text("{")
    assert export.main() == 2
    assert "does not describe a run" in capsys.readouterr().err


def test_strings_survive_the_way_to_the_check():
    strings = np.array([b"a\x00", b"", "é".encode()], object)
    plain = export._plain(strings)
    assert [value[:-1] for value in plain.tolist()] == strings.tolist()


def test_the_card_counts_what_the_model_has(trained):
    card = json.loads((trained.version / "card.json").read_text())
    assert card["parameters"] == gpt.param_count(gpt.Config(**card["config"]))

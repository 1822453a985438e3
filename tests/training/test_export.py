"""Export: checked against the Python model before anybody can see it."""

import json
import os
import shutil

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from kmodels import gpt
from training import export, saved_model


def test_publishing_again_takes_the_next_number_and_shows_nothing_unfinished(
    classifier, tmp_path, monkeypatch
):
    base = tmp_path / "mlp"
    for taken in ("3", "007", "notes"):
        (base / taken).mkdir(parents=True)
    seen = []
    verify = saved_model.verify

    def watch(folder, *args):
        seen.extend(p.name for p in base.iterdir())
        verify(folder, *args)

    monkeypatch.setattr(saved_model, "verify", watch)
    assert export.publish(classifier.run_dir, tmp_path) == base / "8"
    assert not [name for name in seen if name.isdigit() and name not in ("3", "007")]
    assert sorted(os.listdir(base)) == ["007", "3", "8", "notes"]
    again, once = ((d / "card.json").read_text() for d in (base / "8", classifier.version))
    changing = ("exported",)
    assert {k: v for k, v in json.loads(again).items() if k not in changing} == {
        k: v for k, v in json.loads(once).items() if k not in changing
    }


@pytest.mark.parametrize("number", [0, 1], ids=["together", "alone"])
def test_a_wrong_answer_is_not_published(classifier, tmp_path, monkeypatch, number):
    write = saved_model.write

    def tampered(folder, model, *args):
        answers = write(folder, model, *args)
        answers["serving_default"][number]["probabilities"] *= 1.001
        return answers

    monkeypatch.setattr(saved_model, "write", tampered)
    with pytest.raises(saved_model.Rejected, match="serving_default/probabilities differs by"):
        export.publish(classifier.run_dir, tmp_path)
    assert os.listdir(tmp_path / "mlp") == []


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


def test_the_card_counts_what_the_model_has(trained):
    card = json.loads((trained.version / "card.json").read_text())
    assert card["parameters"] == gpt.param_count(gpt.Config(**card["config"]))


# The command.


def test_a_step_of_an_unfinished_run_is_published_with_the_commands_to_serve_and_ask(
    commands, undisturbed, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run_dir, run)
    shutil.rmtree(run / "checkpoints" / "00000040")
    (run / "export.json").unlink()
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    exports = tmp_path / "exports"
    ended = commands(
        f"--run-dir={run}", f"--export-dir={exports}", "--checkpoint=30", module="export"
    )
    assert ended.status == 0, ended.output
    assert f"Exported to {exports / 'gpt' / '1'}." in ended.output
    assert f"--model_name=gpt --model_base_path={exports / 'gpt'}" in ended.output
    assert "predict gpt --target=localhost:8500 --signature=generate" in ended.output
    assert json.loads((exports / "gpt" / "1" / "card.json").read_text())["step"] == 30
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == before


def test_what_is_no_run_is_refused(training_main, refused, tmp_path):
    def said(*words):
        ended = training_main(*words, f"--export-dir={tmp_path / 'exports'}", module="export")
        return refused(ended)

    assert "holds no run.json, so it is not a run" in said(str(tmp_path))
    assert "does not exist, or holds no run.json" in said(str(tmp_path / "none"))
    (tmp_path / "run.json").write_text("{")
    assert "does not describe a run" in said(f"--run-dir={tmp_path}")
    assert "Missing" in said() and not (tmp_path / "exports").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--checkpoint=35"], "holds no checkpoint of step 35; it holds: 30, 40."),
        (["--checkpoint=newest"], "--checkpoint is 'newest'; it must be best, last or a step"),
        (["--chekpoint=last"], "There is no flag --chekpoint. Did you mean --checkpoint?"),
        (["--export-dir=/dev/null"], "nothing can be written to /dev/null/gpt: Not a directory."),
    ],
)
def test_what_cannot_be_exported_is_refused(training_main, refused, undisturbed, words, sentence):
    assert sentence in refused(training_main(str(undisturbed.run_dir), *words, module="export"))


def test_a_run_without_a_checkpoint_is_refused(training_main, refused, undisturbed, tmp_path):
    shutil.copy(undisturbed.run_dir / "run.json", tmp_path)
    ended = training_main(str(tmp_path), module="export")
    refused(ended, "holds no readable checkpoint: none has been saved yet")


def test_a_run_of_other_code_is_refused(training_main, refused, undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run_dir, run)
    stored = json.loads((run / "run.json").read_text())
    stored["config"]["depth"] = 3
    (run / "run.json").write_text(json.dumps(stored))
    ended = training_main(str(run), f"--export-dir={tmp_path / 'exports'}", module="export")
    refused(ended, "was trained by other code", "block_2")

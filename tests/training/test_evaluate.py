"""Evaluation after the fact: the numbers of the run, and those of other data."""

import json
import shutil

import pytest


def snapshot(folder):
    """Every file below a folder with its content."""
    return {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def logged(run_dir, step):
    """The log's line for the evaluation at a step."""
    entries = map(json.loads, (run_dir / "logs.jsonl").read_text().splitlines())
    (entry,) = [e for e in entries if e["split"] == "eval" and e["step"] == step]
    return entry


def result(ended):
    assert ended.status == 0, ended.output
    return json.loads(ended.output)


def test_numbers_and_texts_are_those_of_the_log_to_the_bit(commands, trained):
    before = snapshot(trained.run_dir)
    found = result(commands(str(trained.run_dir), "--json", module="evaluate"))
    assert found == {"run_dir": str(trained.run_dir), **logged(trained.run_dir, 40)}
    assert snapshot(trained.run_dir) == before, "nothing is written"


def test_any_step_and_any_number_of_batches(commands, bare, undisturbed, tmp_path):
    run = tmp_path / "run"
    argv = (*undisturbed.argv, f"--run-dir={run}", "--steps=20")
    assert commands(*argv, before=bare).status == 0
    folder = f"--run-dir={run}"

    def judged(*words):
        return result(commands(folder, "--json", *words, module="evaluate", before=bare))

    one = judged("--checkpoint=20")
    assert one["loss"] == logged(run, 20)["loss"]
    more, train = judged("--eval-batches=9"), judged("--split=train")
    assert len({one["loss"], more["loss"], train["loss"]}) == 3
    earlier = judged("--checkpoint=10")
    assert earlier["step"] == 10 and earlier["loss"] > one["loss"]


def test_a_table_and_a_sample_for_readers(commands, undisturbed):
    ended = commands(str(undisturbed.run_dir), "--checkpoint=last", module="evaluate")
    assert ended.status == 0, ended.output
    assert "gpt tiny at step 40, held-out data" in ended.output
    assert f"{logged(undisturbed.run_dir, 40)['loss']:.4f}" in ended.output
    assert "─ sample ─" in ended.output


def test_half_the_bits_give_nearly_the_same(commands, bare, undisturbed):
    argv = (str(undisturbed.run_dir), "--precision=mixed_bfloat16", "--json")
    loss, exact = (
        result(commands(*argv, module="evaluate", before=bare))["loss"],
        logged(undisturbed.run_dir, 40),
    )
    assert 0 < abs(loss - exact["loss"]) < 0.05


def test_other_data_are_read_by_the_runs_own_codec(commands, bare, refused, undisturbed, tmp_path):
    file = tmp_path / "other.txt"
    file.write_text("The with statement is used to wrap a block. " * 40)
    argv = (str(undisturbed.run_dir), "--data=text", f"--data-dir={file}", "--json")
    other = result(commands(*argv, module="evaluate", before=bare))
    assert other["loss"] != logged(undisturbed.run_dir, 40)["loss"]
    file.write_text("naïve " * 400)
    said = refused(commands(*argv, module="evaluate"), "'ï' (U+00EF), which the codec does not")
    assert len(said.strip().splitlines()) == 1


def test_data_that_changed_are_not_taken_for_the_runs(commands, refused, bare, tiny_argv, tmp_path):
    file, run = tmp_path / "text.txt", tmp_path / "run"
    file.write_text("Some words to learn by heart. " * 40)
    argv = (*tiny_argv, "--data=text", f"--data-dir={file}", "--steps=10", "--compile=off")
    assert commands(*argv, f"--run-dir={run}", before=bare).status == 0
    file.write_text("Some words to learn by heart. " * 41)
    refused(commands(str(run), module="evaluate"), "have changed since it was trained")
    argv = (str(run), "--data=text", f"--data-dir={file}", "--json")
    assert result(commands(*argv, module="evaluate", before=bare))["step"] == 10
    file.unlink()
    refused(commands(str(run), module="evaluate"), "text.txt does not exist")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--checkpoint=35"], "holds no checkpoint of step 35; it holds: 30, 40."),
        (["--checkpoint=-1"], "--checkpoint is '-1'; it must be best, last or a step"),
        (["--eval-batches=0"], "--eval-batches is 0; it must be at least 1."),
        (["--split=test"], "invalid choice 'test'"),
        (["--data=dosc"], "'dosc'. Did you mean 'docs'?"),
        (["--data=text"], "needs --data-dir"),
        (["--chekpoint=best"], "Did you mean --checkpoint?"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(commands, refused, undisturbed, words, sentence):
    assert sentence in refused(commands(str(undisturbed.run_dir), *words, module="evaluate"))


def test_folders_that_cannot_be_evaluated_are_refused(commands, refused, undisturbed, tmp_path):
    refused(commands(str(tmp_path), module="evaluate"), "holds no run.json, so it is not a run")
    run = tmp_path / "run"
    shutil.copytree(undisturbed.run_dir, run)
    shutil.rmtree(run / "codec")
    refused(commands(str(run), module="evaluate"), f"{run} has no codec")
    shutil.copytree(undisturbed.run_dir / "codec", run / "codec")
    shutil.rmtree(run / "checkpoints")
    refused(commands(str(run), module="evaluate"), "none has been saved yet")
    stored = json.loads((run / "run.json").read_text())
    stored["config"]["depth"] = 3
    (run / "run.json").write_text(json.dumps(stored))
    shutil.copytree(undisturbed.run_dir / "checkpoints", run / "checkpoints")
    refused(commands(str(run), module="evaluate"), "holds other variables", "other code made it")


QUIET = "import training.recipes.vae\ntraining.recipes.vae.evaluators = lambda *_: []\n"


@pytest.fixture(scope="module")
def makes_pictures(commands, no_export, tmp_path_factory):
    """A tiny network that makes digits of 8 x 8, trained for twenty steps."""
    run = tmp_path_factory.mktemp("vae") / "run"
    words = ("--model=vae", "--preset=tiny", "--steps=20", "--compile=off", f"--run-dir={run}")
    ended = commands(*words, before=no_export + QUIET)
    assert ended.status == 0, ended.output
    return run


def test_made_pictures_are_compared_with_real_ones(commands, makes_pictures):
    def judged(*words):
        return commands(str(makes_pictures), *words, module="evaluate")

    found = result(judged("--generated=60", "--json"))
    assert found["generated"] == 60 and found["loss"] == logged(makes_pictures, 20)["loss"]
    names = [name for name in found if "_resnet" in name]
    assert {"frechet_digits_resnet", "copies_digits_resnet"} < set(names) and len(names) == 21
    assert found["frechet_digits_resnet"] > found["frechet_digits_resnet_floor"] > 0
    told = judged("--generated=40", "--extractor=mnist_resnet", "--split=train")
    assert "vae tiny at step 20, training data, 1-crop, 40 generated pictures" in told.output
    assert "frechet_mnist_resnet_floor" in told.output and "digits_resnet" not in told.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--generated=5"], "--generated is 5; it must lie in 6 to 360"),
        (["--generated=361"], "--generated is 361; it must lie in 6 to 360"),
        (["--generated=9", "--extractor=digits"], "'digits'. Did you mean 'digits_resnet'?"),
        (["--extractor=digits_resnet"], "give both"),
        (["--generated=9", "--views=10-crop"], "--generated compares what a model makes"),
    ],
)
def test_comparisons_that_cannot_be_made_are_refused(
    commands, refused, makes_pictures, words, sentence
):
    said = refused(commands(str(makes_pictures), *words, module="evaluate"), sentence)
    assert len(said.strip().splitlines()) == 1


def test_what_makes_no_pictures_is_not_compared(commands, refused, undisturbed):
    ended = commands(str(undisturbed.run_dir), "--generated=9", module="evaluate")
    refused(ended, "makes no pictures of a seed alone; leave it out.")

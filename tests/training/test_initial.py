"""Weights to begin with: every kind of source, and each way it can be wrong."""

import dataclasses
import io
import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import rich.console
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from kmodels import gpt, resnet, vit
from training import checkpoints, initial, recipes, run
from training.config import ImageCodecChoice, Run, UserError, to_json

GPT2 = {"model_type": "gpt2", "n_head": 1, "activation_function": "gelu_new"}
WIDE = {"bias": True, "activation": "gelu_tanh"}  # what a GPT-2 has and the smallest run lacks


@pytest.fixture
def begin(make_run):
    """Sets a new model of a run's config from a source; gives the model and what was said."""

    def call(source, **config):
        run = make_run(init_from=str(source), **config)
        keras.utils.set_random_seed(7)
        model, said = gpt.build(run.config), []
        initial.take(initial.read(run, model), model, said.append)
        return model, "\n".join(said)

    return call


@pytest.fixture
def other(make_run, lively):
    """A model of the smallest run's size whose every weight has been moved."""

    def build(**config):
        keras.utils.set_random_seed(1)
        return lively(gpt.build(make_run(**config).config))

    return build


def hugging_face(folder, model, *, settings=GPT2, prefix="", shards=1):
    """Writes a model as transformers does; written from its documentation, not from our map."""

    def there(path):
        path = path.removeprefix("gpt/")
        for ours, theirs in (
            ("block_", "h."), ("tokens/embeddings", "wte.weight"),
            ("positions/embeddings", "wpe.weight"), ("norm_1/", "ln_1."), ("norm_2/", "ln_2."),
            ("norm/", "ln_f."), ("attention/qkv/", "attn.c_attn."),
            ("attention/out/", "attn.c_proj."), ("up/", "mlp.c_fc."), ("down/", "mlp.c_proj."),
            ("gamma", "weight"), ("beta", "bias"), ("kernel", "weight"), ("/", "."),
        ):  # fmt: skip
            path = path.replace(ours, theirs)
        return prefix + path

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    tensors = {there(v.path): v.numpy() for v in model.weights}
    tensors[f"{prefix}h.0.attn.bias"] = np.ones([1, 1, 4, 4], np.float32)  # the mask, a constant
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    names = sorted(tensors)
    files = {name: f"model-{i % shards}.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({n: tensors[n] for n in names if files[n] == file}, folder / file)
    index = {"weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def same(model, other):
    return all(
        np.array_equal(a.numpy(), b.numpy())
        for a, b in zip(model.weights, other.weights, strict=True)
    )


@pytest.mark.parametrize("layout", [{}, {"prefix": "transformer."}, {"shards": 3}])
def test_a_folder_in_the_hugging_face_layout(begin, other, tmp_path, layout):
    wanted = other(**WIDE)
    folder = hugging_face(tmp_path / "hf", wanted, **layout)
    model, said = begin(f"hf:{folder}", **WIDE)
    assert same(model, wanted)
    count = len(model.weights)
    assert f"{count} of {count} tensors were taken, 1 there were not used: " in said
    assert said.endswith("h.0.attn.bias.")


def test_another_vocabulary_and_more_blocks_are_said(begin, other, tmp_path):
    folder = hugging_face(tmp_path / "hf", other(**WIDE))
    _, said = begin(f"hf:{folder}", **WIDE, vocab=13, depth=2)
    assert "gpt/tokens/embeddings (13, 4) keeps its initial values: it is of shape (11, 4)" in said
    assert "gpt/block_1/up/kernel (4, 16) keeps its initial values: it is not there." in said
    assert "not used: h.0.attn.bias, wte.weight." in said


@pytest.mark.parametrize(
    ("settings", "config", "said"),
    [
        ({**GPT2, "n_head": 2}, WIDE, "has heads 2, and config.heads is 1; give --config.heads=2"),
        ({**GPT2, "activation_function": "relu"}, WIDE, "has activation relu"),
        ({**GPT2, "model_type": "openai-gpt"}, WIDE, "has norm post, and config.norm is pre"),
        ({**GPT2, "model_type": "bert"}, WIDE, "of type 'bert'; gpt reads gpt2, openai-gpt"),
        (GPT2, {"activation": "gelu"}, "config.activation is gelu; give --config.activation="),
        (GPT2, {**WIDE, "width": 8, "vocab": 5, "context": 3}, "no tensor of hf:"),
    ],
)
def test_a_network_that_computes_something_else_is_refused(
    begin, other, tmp_path, settings, config, said
):
    folder = hugging_face(tmp_path / "hf", other(**WIDE), settings=settings)
    with pytest.raises(UserError, match="^--init-from: .*" + said):
        begin(f"hf:{folder}", **config)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_or_has_a_broken_one_is_refused(begin, other, tmp_path, file):
    folder = hugging_face(tmp_path / "hf", other(**WIDE))
    (folder / file).write_text("[]]")
    with pytest.raises(UserError, match=f"{file} is no (JSON object|readable)"):
        begin(f"hf:{folder}", **WIDE)
    (folder / file).unlink()
    with pytest.raises(UserError, match=f"{file} does not exist"):
        begin(f"hf:{folder}", **WIDE)
    with pytest.raises(UserError, match="config.json does not exist"):
        begin(f"hf:{tmp_path / 'none'}", **WIDE)


def test_bfloat16_tensors_become_whole_numbers_of_ours(begin, other, tmp_path):
    import ml_dtypes

    wanted = other()
    tensors = {v.path: v.numpy().astype(ml_dtypes.bfloat16) for v in wanted.weights}
    save_file(tensors, tmp_path / "half.safetensors")
    model, _ = begin(tmp_path / "half.safetensors")
    for mine, theirs in zip(model.weights, wanted.weights, strict=True):
        assert mine.dtype == "float32"
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=2**-8)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
def test_files_of_weights(begin, other, tmp_path):
    wanted = other()
    state = {"model": wanted.variables}
    saved = checkpoints.save(tmp_path, state, checkpoints.Meta(1, None, None))
    save_file({v.path: v.numpy() for v in wanted.weights}, tmp_path / "plain.safetensors")
    wanted.save_weights(tmp_path / "keras.weights.h5")
    files = (
        saved / "state.safetensors",
        tmp_path / "plain.safetensors",
        tmp_path / "keras.weights.h5",
    )
    for file in files:
        assert same(begin(file)[0], wanted), file


@pytest.mark.parametrize("name", ["x.safetensors", "x.weights.h5", "x.bin"])
def test_files_that_are_none_are_refused(begin, tmp_path, name):
    file = tmp_path / name
    with pytest.raises(UserError, match=f"{name} does not exist"):
        begin(file)
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match=f"{name} (is no|does not fit)"):
        begin(file)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
def test_a_keras_file_of_another_network_is_refused(begin, other, tmp_path):
    other(depth=2).save_weights(tmp_path / "deep.weights.h5")
    other().save_weights(tmp_path / "flat.weights.h5")
    with pytest.raises(UserError, match="deep.weights.h5 does not fit .* holds 15 tensors, and"):
        begin(tmp_path / "deep.weights.h5")
    with pytest.raises(UserError, match="flat.weights.h5 does not fit .* holds 9 tensors, and"):
        begin(tmp_path / "flat.weights.h5", depth=2)
    with pytest.raises(UserError, match="flat.weights.h5 does not fit this model: "):
        begin(tmp_path / "flat.weights.h5", width=8)


def test_a_folder_that_is_no_run_is_refused(begin, tmp_path):
    with pytest.raises(UserError, match="holds no run.json"):
        begin(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        begin(tmp_path)


# Pictures as the weights want them, and a head alone.

SHOWN = {
    "image_mean": [0.5],
    "image_std": [0.25],
    "rescale_factor": 1 / 256,
    "size": {"height": 8, "width": 8},
}
TINY = dataclasses.replace(
    vit.PRESETS["tiny"], classes=10, activation="gelu", epsilon=1e-12, dropout=0.0
)
SETTINGS = {
    "model_type": "vit",
    "num_channels": 1,
    "patch_size": 4,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}


@pytest.fixture
def described(tmp_path):
    """A folder that says what it wants; its weights are not looked at."""
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SETTINGS))
    (folder / "preprocessor_config.json").write_text(json.dumps(SHOWN))
    return folder


def chosen(given, run_dir, *, config=TINY, **codec):
    """The codec of a run that begins with these weights, with such flags."""
    recipe = recipes.load("vit").recipe(config)
    recipe = dataclasses.replace(recipe, codec=dataclasses.replace(recipe.codec, **codec))
    flags = SimpleNamespace(init_from=given, model="vit", config=config)
    return initial.preprocessed(recipe, flags, run_dir).codec


def test_weights_decide_how_pictures_are_seen_but_not_against_flags(described, tmp_path):
    wanted = ImageCodecChoice(mean=(128.0,), deviation=(64.0,))
    assert chosen(f"hf:{described}", tmp_path / "run") == wanted
    given = chosen(f"hf:{described}", tmp_path / "run", mean=(1.0,), short=9)
    assert given == dataclasses.replace(wanted, mean=(1.0,), short=9)
    assert chosen(None, tmp_path / "run") == ImageCodecChoice()
    (described / "preprocessor_config.json").unlink()
    assert chosen(f"hf:{described}", tmp_path / "run") == ImageCodecChoice()


def test_a_run_that_goes_on_keeps_its_own_way(described, tmp_path):
    codec = chosen(f"hf:{described}", tmp_path / "run", mean=(3.0,))
    recipe = dataclasses.replace(recipes.load("vit").recipe(TINY), codec=codec)
    place = {"run_dir": tmp_path / "run", "export_dir": tmp_path / "exports"}
    there = Run(model="vit", preset="tiny", config=TINY, recipe=recipe, **place)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(to_json(there))
    shutil.rmtree(described)
    assert chosen(f"hf:{described}", tmp_path / "run") == codec
    with pytest.raises(UserError, match="^--init-from: .*config.json does not exist"):
        chosen(f"hf:{described}", tmp_path / "another")


def test_a_config_that_does_not_fit_is_refused_before_data_are_read(described, tmp_path):
    config = dataclasses.replace(TINY, channels=3, heads=4)
    with pytest.raises(UserError, match="give --config.channels=1 --config.heads=2."):
        chosen(f"hf:{described}", tmp_path / "run", config=config)


@pytest.fixture
def probe(tmp_path):
    """Trains a ResNet of the smallest size in this process; gives its folder and what it said."""

    def train(name, *, steps, **changes):
        config = dataclasses.replace(resnet.PRESETS["tiny"], classes=10)
        recipe = dataclasses.replace(
            recipes.load("resnet").recipe(config),
            **{"steps": steps, "log_every": 2, "eval_every": 2, "save_every": 2},
            **{"eval_batches": 2, "average_half_life": 40, "freeze": "init_from" in changes},
        )
        folder = tmp_path / name
        flags = SimpleNamespace(model="resnet", config=config, init_from=changes.get("init_from"))
        recipe = initial.preprocessed(recipe, flags, folder)
        made = recipes.load("resnet").prepare(config, recipe, None)
        resolved = Run(
            model="resnet", preset="tiny", config=config, recipe=recipe, run_dir=folder,
            export_dir=tmp_path / "exports", journals=(), **changes,
        )  # fmt: skip
        said = io.StringIO()
        console = rich.console.Console(file=said, soft_wrap=True, width=1000)
        run.trained(resolved, made, tf.distribute.get_strategy(), console)
        return folder, said.getvalue()

    return train


def state(folder):
    return load_file(checkpoints.everything(folder / "checkpoints")[-1] / "state.safetensors")


def test_a_linear_probe_of_a_run_changes_the_head_alone_and_goes_on_to_the_bit(probe):
    first, _ = probe("first", steps=2)
    begun = {"init_from": str(first)}
    once, said = probe("once", steps=4, **begun)
    assert "Pictures are prepared as the weights want them: rgb from 0 to 255" in said
    ends = [state(once)]
    shutil.rmtree(checkpoints.everything(once / "checkpoints")[-1])
    _, said = probe("once", steps=4, **begun)
    assert "Going on from step 2." in said
    ends.append(state(once))
    assert ends[0].keys() == ends[1].keys()
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
    before = checkpoints.model_weights(state(first))
    after = {n.removeprefix("model/"): v for n, v in ends[0].items() if n.startswith("model/")}
    assert any("moving_mean" in name for name in before), "statistics stay, too"
    moved = {name for name, value in before.items() if not np.array_equal(value, after[name])}
    assert moved == {"logits/kernel", "logits/bias"}
    kept = [n for n in ends[0] if n.startswith(("optimizer/", "average/"))]
    assert all("logits" in n or n.endswith(("iteration", "rate")) for n in kept), kept


def test_a_probe_of_what_has_no_head_is_refused(training_main, refused, tmp_path):
    ended = training_main(
        "--model=gpt", "--preset=tiny", "--freeze", f"--run-dir={tmp_path / 'run'}"
    )
    refused(ended, "--freeze trains a classifier's head alone, and gpt has none")

"""The PyTorch twins of the generative papers compute what ours do, with weights copied."""

import importlib
import math

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import ddim, generative_step
from kmodels import ddpm
from kmodels.core import timed, zoo
from tests.golden import generate as golden
from tests.kmodels.parity import ddpm as parity
from training import draws, flops, recipes

BATCH, TURNS = 4, 3
CONFIGS = {
    "vae": {"size": 8, "hidden": (16,), "latents": 3},
    "dcgan": {"size": 16, "channels": 3, "latent": 4, "width": 4},
    "ddpm": parity.SHAPE | {"multipliers": (1, 2), "blocks": 1, "variance": "large"},
}
VAE = {  # ours -> the twin's
    "encoder/layer_0": "inside",
    "encoder/mean": "mean",
    "encoder/logvar": "logvar",
    "decoder/layer_0": "outside",
    "decoder/pixels": "pixels",
}


@pytest.fixture(scope="module", autouse=True)
def torch():
    pytest.importorskip("diffusers", reason="diffusers is in the optional group `benchmarks`")
    return pytest.importorskip("torch", reason="PyTorch is in the optional group `parity`")


@pytest.fixture(scope="module")
def twins(torch):
    return importlib.import_module("benchmarks.generative_twins")


@pytest.fixture(scope="module")
def floor(torch):
    return importlib.import_module("benchmarks.generative_floor")


def places(value):
    """[..., 16 D] by place and channel to [..., 16 D] by channel and mirrored place."""
    maps = value.reshape(*value.shape[:-1], 4, 4, -1)[..., ::-1, ::-1, :]
    return np.moveaxis(maps, -1, -3).reshape(value.shape)


def vae_weight(path, value):
    layer, leaf = path.rsplit("/", 1)
    return VAE[layer] + (".weight" if leaf == "kernel" else ".bias"), value.T


def dcgan_weight(path, value):
    if value.ndim == 4:
        value = value.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1]  # turned round
    elif value.ndim == 2:
        value = places(value).T if "project" in path else places(value.T)
    elif "project" in path:
        value = places(value)
    return None, value


def ddpm_weight(path, value):
    return f"unet.{parity.theirs(path, 2)}", parity.laid_out(value)


WEIGHTS = {"vae": vae_weight, "dcgan": dcgan_weight, "ddpm": ddpm_weight}


def as_theirs(paper, model, twin):
    """Our weights by the twin's names, as it has them."""
    named = dict(twin.named_parameters())
    found = {}
    for order, v in zip(named, model.trainable_variables, strict=True):
        name, value = WEIGHTS[paper](v.path, v.numpy())
        found[name or order] = np.array(value).reshape(named[name or order].shape)
    return found


def same(paper, model, twin, torch):
    """Gives both the same weights, of which none begins at zero."""
    for v in model.trainable_variables:
        v.assign(parity.weight(v.path, tuple(v.shape)))
    weights = {name: torch.tensor(v) for name, v in as_theirs(paper, model, twin).items()}
    left = twin.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys
    assert not set(left.missing_keys) & set(dict(twin.named_parameters()))


def given(paper, model, config, torch):
    """A batch with what is drawn for it, for us and for the twin."""
    shape = BATCH, config.size, config.size, config.channels
    image = tf.constant(np.random.default_rng(0).random(shape, dtype=np.float32))
    ours = draws.added({"image": image}, model, training=True)
    theirs = {}
    for name, value in ours.items():
        array = value.numpy()
        if array.ndim == 4:
            array = array[:, ::-1, ::-1] if paper == "dcgan" else array
            array = array.transpose(0, 3, 1, 2)
        theirs[name] = torch.tensor(array.copy())
    return ours, theirs


@pytest.mark.parametrize("paper", CONFIGS)
def test_losses_and_moved_weights_are_the_same(paper, twins, torch, monkeypatch):
    module, fields = zoo.load(paper), CONFIGS[paper]
    config = module.Config(**fields)
    chosen = recipes.load(paper).paper(config)
    learner = golden.learner_of(
        paper, config, batch_size=BATCH, optimizer=chosen.optimizer, steps=chosen.steps
    )
    arguments = fields | ({"hidden": 16} if paper == "vae" else {})
    twin = twins.TWINS[paper](**arguments)
    model = learner.model
    same(paper, model, twin, torch)
    training = twins.Training(twin, "channels-last")
    ours, theirs = given(paper, model, config, torch)
    monkeypatch.setattr(draws, "added", lambda batch, model, training: batch)
    before = as_theirs(paper, model, twin)
    for _ in range(TURNS):
        logs = learner.train_step(ours)
        wanted = [logs["loss"]] + ([logs["generator_loss"]] if paper == "dcgan" else [])
        got = [loss.item() for loss in training.step(theirs).values()]
        np.testing.assert_allclose(got, wanted, rtol=2e-5)
    weights = dict(twin.named_parameters())
    away = moved = 0.0
    for name, value in as_theirs(paper, model, twin).items():
        away += np.square(weights[name].detach().numpy() - value).sum()
        moved += np.square(value - before[name]).sum()
    assert moved > 0
    assert away < 1e-3 * moved


@pytest.mark.parametrize("case", generative_step.CASES.values(), ids=lambda case: case.paper)
def test_twins_have_as_many_parameters(case, floor):
    module = zoo.load(case.paper)
    count = module.param_count(module.Config(**case.config))
    found = floor.step(case.paper, case.config, case.shape)
    assert sum(o.weights for o in found if hasattr(o, "weights")) == count


def test_the_floor_of_a_step_is_that_of_its_layers(floor):
    """A VAE's, by hand: what reads pictures and what moves no weight has no gradient there."""
    found = floor.step("vae", {}, (100, 28, 28, 1))
    inside = 784 * 500 * 2 + 2 * 500 * 20 * 3
    outside = (20 * 500 + 500 * 784) * 3
    products = sum(o.flop * n for o, n in found.items() if hasattr(o, "flop"))
    assert products == 2 * 100 * (inside + outside)
    adversarial = floor.step("dcgan", CONFIGS["dcgan"], (BATCH, 16, 16, 3))
    one = {o: n for o, n in adversarial.items() if getattr(o, "inside", 0) == 3}
    parts = sorted((o.parts, n) for o, n in one.items())
    # The generator's last: twice forward, once back. The discriminator's first: three times
    # forward, twice into the weight alone, once into the picture alone.
    assert parts == [
        (("forward", "input"), 1),
        (("forward", "weight"), 2),
        (("input",), 1),
        (("input", "forward", "weight"), 1),
    ]


def test_the_floor_of_a_look_is_what_our_network_computes(floor):
    config = ddpm.Config(**CONFIGS["ddpm"])
    model = ddpm.build(config)
    spec = tf.TensorSpec([2, config.size, config.size, config.channels])
    made = tf.function(lambda x: model(x), autograph=False).get_concrete_function(spec)
    found = floor.answer(CONFIGS["ddpm"], 2)
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, timed.RowsDense)]
    again = sum(2 * math.prod(layer.kernel.shape) for layer in layers)  # they ask one row twice
    assert sum(o.flop * n for o, n in found.items()) == flops.of(made.graph) - again


def test_pictures_of_the_saved_model_are_those_of_diffusers(tmp_path, monkeypatch, torch, twins):
    shape = CONFIGS["ddpm"]
    monkeypatch.setattr(ddim, "UNET", shape)
    model = ddim.export(tmp_path / "model")
    twin = twins.DDPM(**shape)
    weights = as_theirs("ddpm", model, twin)
    twin.load_state_dict({n: torch.tensor(v) for n, v in weights.items()}, strict=False)
    start = model.noise(tf.range(2, dtype=tf.int64)).numpy().transpose(0, 3, 1, 2)
    theirs = ddim.sampled(twin.unet.eval(), torch.tensor(start), 5)
    ours = ddim.caller(ddim.Flags(saved=tmp_path / "model", batch=2, count=5))()["image"]
    assert ours.std() > 30  # neither grey nor all black
    assert np.abs(ours.astype(int) - theirs).max() <= 1

"""Profiles of recipes: the paper's schedule, a short one for a CPU, and which is taken."""

import dataclasses
import itertools

import pytest

from kmodels import dcgan, gan, gpt, mlp, resnet, vgg
from kmodels.core import zoo
from training import recipes
from training.config import ImageCodecChoice, UserError
from training.optimization import SGD, Adam, AdamW, Cosine, HeldLinear, Plateau, Step
from training.recipes import dcgan as dcgan_recipes
from training.recipes import gan as gan_recipes

IMAGENET = 1_281_167  # pictures
PRESETS = [(name, preset) for name in zoo.names() for preset in zoo.load(name).PRESETS]
VISION = ("alexnet", "googlenet", "resnet", "vgg", "vit")


def profiles(name, preset):
    """All profiles of a preset's recipe by name."""
    config = zoo.load(name).PRESETS[preset]
    names = ("auto", *recipes.load(name).PROFILES)
    return {profile: recipes.profile(name, profile, config) for profile in names}


def paper(name, preset):
    return profiles(name, preset)["paper"]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_each_preset_has_its_papers_schedule_and_a_short_one(name, preset):
    made = profiles(name, preset)
    assert set(made) >= {"auto", "paper", "cpu"}
    assert made["paper"].origin == "paper"
    assert made["auto"] in made.values()
    if name != "perceptron":  # its rule takes seconds
        assert made["cpu"].origin == "cpu"
        assert made["cpu"].steps <= made["paper"].steps
    for recipe in made.values():
        assert recipe.data in recipes.load(name).DATA
        short = getattr(recipe.codec, "short", None)
        config = zoo.load(name).PRESETS[preset]
        labelled = hasattr(config, "classes")  # a puzzle takes the whole central square
        assert short is None or short >= config.size + labelled


@pytest.mark.parametrize("name", VISION)
def test_small_pictures_are_for_a_cpu_and_large_ones_for_the_paper(name):
    small, large = profiles(name, "digits"), profiles(name, list(zoo.load(name).PRESETS)[-1])
    assert small["auto"] == small["cpu"]
    assert large["auto"].steps == large["paper"].steps
    assert small["paper"].data == "digits", "a small network has its own data"
    for field in ("optimizer", "batch_size", "average_half_life", "learner", "objective"):
        assert getattr(small["paper"], field) == getattr(large["paper"], field) or name == "resnet"


@pytest.mark.parametrize("preset", ["tiny", "grouped"])
def test_alexnet_takes_ninety_epochs(preset):
    recipe = paper("alexnet", preset)
    wanted = SGD(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, decay="all")
    assert recipe.optimizer == wanted and recipe.batch_size == 128
    assert recipe.schedule.kind == "plateau" and recipe.schedule.factor == 0.1
    assert recipe.steps * 128 / 1.2e6 == pytest.approx(90, rel=0.01)


@pytest.mark.parametrize("preset", ["tiny", "vgg-16"])
def test_vgg_takes_74_epochs(preset):
    recipe = paper("vgg", preset)
    assert (recipe.batch_size, recipe.steps) == (256, 370_000)
    assert recipe.steps * 256 / IMAGENET == pytest.approx(74, rel=0.01)
    wanted = SGD(learning_rate=0.01, momentum=0.9, weight_decay=5e-4, decay="all")
    assert recipe.optimizer == wanted and recipe.schedule.factor == 0.1


@pytest.mark.parametrize("preset", ["tiny", "imagenet"])
def test_googlenets_rate_falls_by_4_per_cent_every_8_epochs(preset):
    recipe = paper("googlenet", preset)
    boundaries = recipe.schedule.boundaries
    assert recipe.schedule.factor == 0.96 and recipe.average_half_life
    for i, boundary in enumerate(boundaries):
        assert boundary * recipe.batch_size / IMAGENET == pytest.approx(8 * (i + 1), rel=0.01)
    assert recipe.steps - boundaries[-1] <= boundaries[0], "to the end"


def test_resnets_on_cifar_have_the_papers_steps_and_110_layers_rise_first():
    for depth, warmup in ((20, 0), (56, 0), (110, 400)):
        for kind in ("cifar", "plain"):
            recipe = paper("resnet", f"{kind}-{depth}")
            assert recipe.schedule == Step(boundaries=(32_000, 48_000), warmup_steps=warmup)
            assert (recipe.batch_size, recipe.steps) == (128, 64_000)
            assert recipe.optimizer.learning_rate == 0.1 and recipe.optimizer.weight_decay == 1e-4


def test_resnets_on_imagenet_watch_for_a_plateau_unless_auto():
    made = profiles("resnet", "resnet-50")
    assert isinstance(made["paper"].schedule, Plateau)
    assert made["auto"].schedule == Step(boundaries=(300_000, 450_000))
    assert made["auto"].origin == "own"
    assert dataclasses.replace(made["paper"], schedule=made["auto"].schedule) == (
        dataclasses.replace(made["auto"], origin="paper")
    )


@pytest.mark.parametrize("preset", ["tiny", "b-16"])
def test_vit_from_nothing_and_fine_tuned(preset):
    made = profiles("vit", preset)
    assert made["paper"].optimizer == AdamW(learning_rate=3e-3, weight_decay=0.3, clip_norm=1.0)
    assert made["paper"].steps * 4096 / IMAGENET == pytest.approx(300, rel=0.01)
    tuned = made["fine-tune"]
    assert tuned.optimizer == SGD(learning_rate=0.03, momentum=0.9, clip_norm=1.0)
    assert tuned.optimizer.weight_decay == 0
    assert tuned.schedule == Cosine(warmup_steps=500, final=0.0)
    assert (tuned.batch_size, tuned.origin) == (512, "paper")


@pytest.mark.parametrize(("preset", "tokens"), [("gpt3-125m", 2**19), ("gpt3-13b", 2**21)])
def test_gpt3_reads_300_billion_tokens(preset, tokens):
    recipe, context = paper("gpt", preset), gpt.PRESETS[preset].context
    assert recipe.batch_size * context == tokens
    assert recipe.steps * tokens == pytest.approx(300e9, rel=1e-4)
    assert recipe.schedule.warmup_steps * tokens == pytest.approx(375e6, rel=1e-2)


def test_forward_forward_takes_60_epochs_and_its_smoothed_rate():
    recipe = paper("forward_forward", "mnist")
    assert recipe.steps * recipe.batch_size == 60 * 60_000
    rate, kept = recipe.optimizer.learning_rate, recipe.optimizer.momentum
    assert rate / (1 - kept) == pytest.approx(0.01)
    assert recipe.schedule == HeldLinear() and recipe.optimizer.decay == "matrices"
    assert paper("forward_forward", "unsupervised").steps * 100 == 100 * 60_000


def test_other_presets_of_gpt_and_mlp():
    first = paper("gpt", "gpt1")
    assert (first.batch_size, first.schedule.warmup_steps) == (64, 2000)
    assert paper("gpt", "char").batch_size == 2**19 / gpt.PRESETS["char"].context
    assert profiles("gpt", "gpt2-small")["auto"].origin == "own"
    xor, pictures = paper("mlp", "xor"), paper("mlp", "sigmoid-bn")
    assert (xor.batch_size, xor.steps, xor.data) == (4, 1425, "logic")
    assert (pictures.batch_size, pictures.steps, pictures.data) == (60, 50_000, "mnist")
    assert paper("mlp", "digits").data == "digits" and mlp.PRESETS["digits"].inputs[0] == 8


def test_autoencoders_have_their_papers_lengths():
    """Epochs of MNIST's 60,000 pictures, or examples in all."""
    hinton, kingma = paper("autoencoder", "mnist"), paper("vae", "mnist")
    assert hinton.steps * hinton.batch_size == 200 * 60_000
    assert kingma.steps * kingma.batch_size == 10**8 and kingma.optimizer.kind == "adagrad"
    burda = profiles("vae", "burda")["burda"]
    assert (burda.batch_size, burda.steps) == (20, 3280 * 3000)
    ends = [*burda.schedule.boundaries, burda.steps]
    passes = [b - a for a, b in itertools.pairwise([0, *ends])]
    assert [p / 3000 for p in passes] == [3**i for i in range(8)]
    assert burda.optimizer.learning_rate * burda.schedule.factor**7 == pytest.approx(1e-4)


def test_gans_have_their_authors_schedule_and_pacgans():
    made = paper("gan", "mnist")
    assert (made.batch_size, made.steps, made.data) == (100, 150_000, "mnist")
    assert (made.optimizer.learning_rate, made.discriminator_optimizer.learning_rate) == (0.1, 0.05)
    assert made.schedule.final == pytest.approx(1.000004**-150_000, abs=2e-3)
    points = paper("gan", "points-pac4")
    assert (points.batch_size, points.steps, points.data) == (100, 400_000, "ring")
    assert points.optimizer == points.discriminator_optimizer
    assert (points.optimizer.learning_rate, points.optimizer.beta_1) == (1e-4, 0.8)


def test_dcgans_have_the_papers_optimizer_for_both():
    made = paper("dcgan", "dcgan-64")
    assert made.optimizer == made.discriminator_optimizer == Adam(learning_rate=2e-4, beta_1=0.5)
    assert (made.batch_size, made.data, made.average_half_life) == (128, "image_folder", None)


def test_a_dcgan_refuses_pictures_of_another_range():
    config = dcgan.PRESETS["tiny"]
    recipe = dataclasses.replace(dcgan_recipes.recipe(config), codec=ImageCodecChoice())
    with pytest.raises(UserError, match="give --codec.mean 127.5 and --codec.deviation 127.5"):
        dcgan_recipes.prepare(config, recipe, None)


@pytest.mark.parametrize(
    ("preset", "config", "recipe", "words"),
    [
        ("points", {}, {"data": "digits"}, "has pictures, and config.inputs is"),
        ("tiny", {}, {"data": "ring"}, "has points of 2 numbers"),
        ("points-pac4", {}, {"batch_size": 102}, "it must be a multiple of 4"),
        ("tiny", {"output": "linear"}, {}, "pictures need a sigmoid"),
        ("tiny", {}, {"codec": ImageCodecChoice()}, "give --codec.mean 0.0 and --codec.deviation"),
        ("tiny", {}, {"data": "docs"}, "no data for this paper 'docs'"),
    ],
)
def test_a_gan_refuses_data_that_it_cannot_make(preset, config, recipe, words):
    chosen = dataclasses.replace(gan.PRESETS[preset], **config)
    with pytest.raises(UserError, match=words):
        gan_recipes.prepare(chosen, dataclasses.replace(gan_recipes.recipe(chosen), **recipe), None)


def test_on_a_cpu_photographs_get_twenty_steps_and_cifar_less_than_the_paper():
    for name, preset in (("vgg", "vgg-16"), ("vit", "b-16"), ("gpt", "gpt2-small")):
        assert profiles(name, preset)["cpu"].steps == 20
    short = profiles("resnet", "cifar-20")["cpu"]
    assert short.data == "cifar10" and short.steps * short.batch_size < 64_000 * 128 / 100


def test_a_profile_that_is_not_there_is_a_sentence():
    with pytest.raises(UserError, match=r"no recipe of vgg 'papre'\. Did you mean 'paper'\?"):
        recipes.profile("vgg", "papre", vgg.PRESETS["tiny"])
    with pytest.raises(UserError, match="Allowed: auto, paper, cpu"):
        recipes.profile("resnet", "fine-tune", resnet.PRESETS["tiny"])


@pytest.mark.parametrize(
    ("config", "changes", "sentence"),
    [
        ({"classes": 3}, {}, "The data have 10 classes and config.classes is 3"),
        ({}, {"data": "logic"}, "There is no data for this paper 'logic'"),
        ({}, {"data": "mnist"}, "--data=mnist needs --data-dir"),
    ],
)
def test_data_that_do_not_fit_forward_forward_are_a_sentence(config, changes, sentence):
    module = recipes.load("forward_forward")
    chosen = dataclasses.replace(zoo.load("forward_forward").PRESETS["digits"], **config)
    wanted = dataclasses.replace(module.recipe(chosen), **changes)
    with pytest.raises(UserError, match=sentence):
        module.prepare(chosen, wanted, None)

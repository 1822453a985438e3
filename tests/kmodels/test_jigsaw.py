"""The context-free network has the published size, sees tiles alone, and gives away its tower."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import alexnet, jigsaw, resnet
from kmodels.core import puzzles
from kmodels.core.codecs.images import Images
from training import draws, initial

TINY = jigsaw.PRESETS["tiny"]
SMALL = dataclasses.replace(
    TINY, size=100, cell=33, tile=31, jitter=2, tower="alexnet", widths=(8,) * 5, depths=(),
    channels=3, hidden=(6, 10),
)  # fmt: skip


def built(config=TINY, seed=0):
    keras.utils.set_random_seed(seed)
    return jigsaw.build(config)


def test_the_network_has_the_published_count():
    """Spec: 46,544,232 with 1,000 permutations; maps of 27, 13, 6 and 3 places a side."""
    config = jigsaw.PRESETS["cfn"]
    assert jigsaw.param_count(config) == 46_544_232
    assert config.map_side**2 * config.features == 2304
    pictures = keras.Input((64, 64, 3))
    tower = jigsaw.tower(config)
    sides = [tower.get_layer(f"conv_{i}").output for i in (1, 2, 3)]
    shown = keras.Model(tower.input, [*sides, tower.output])(pictures)
    assert [x.shape[1] for x in shown] == [27, 13, 6, 3]


def test_pools_of_the_tower_keep_the_last_place():
    """As ceil_mode has it: a window that hangs over counts what it has."""
    tower = jigsaw.tower(SMALL)
    pool, padded = tower.get_layer("pool_5"), tower.get_layer("pool_5_pad")
    x = np.random.default_rng(0).uniform(size=(1, 6, 6, 8)).astype(np.float32)
    found = pool(padded(x)).numpy()
    wanted = [[x[:, r : r + 3, c : c + 3].max(axis=(1, 2)) for c in (0, 2, 4)] for r in (0, 2, 4)]
    np.testing.assert_allclose(found, np.moveaxis(np.array(wanted), 2, 0), atol=1e-6)


@pytest.mark.parametrize("config", [TINY, SMALL])
def test_a_tile_is_seen_without_the_others(config, lively):
    """Features follow the tiles wherever they are laid; only the head knows of places."""
    model = lively(built(config))
    rng = np.random.default_rng(1)
    tiles = tf.constant(
        rng.normal(size=(2, 9, config.tile, config.tile, config.channels)), "float32"
    )
    order = rng.permutation(9)
    maps = model.maps(tf.reshape(tiles, (18, *tiles.shape[2:]))).numpy()
    turned = tf.gather(tiles, order, axis=1)
    again = model.maps(tf.reshape(turned, (18, *tiles.shape[2:]))).numpy()
    maps = maps.reshape(2, 9, *maps.shape[1:])
    np.testing.assert_allclose(again.reshape(maps.shape), maps[:, order], atol=1e-5)
    assert np.abs(model(tiles) - model(turned)).max() > 1e-3


def test_a_puzzle_laid_as_its_answer_says_is_the_picture():
    config = dataclasses.replace(TINY, size=15, cell=5, tile=5, jitter=0)
    model = built(config)
    image = tf.random.stateless_normal((6, 15, 15, 1), (1, 2))
    tiles, answer = model.puzzles(draws.added({"image": image}, model, training=True))
    assert len(set(answer.numpy().tolist())) > 1
    laid = np.stack(
        [row[np.argsort(model.orders[a])] for row, a in zip(tiles.numpy(), answer, strict=True)]
    )
    whole = laid.reshape(6, 3, 3, 5, 5).transpose(0, 1, 3, 2, 4).reshape(6, 15, 15)
    np.testing.assert_array_equal(whole, image[..., 0])


@pytest.mark.parametrize("kind", ["plain", "ramp"])
def test_pictures_without_texture_say_nothing_of_the_order(kind, lively):
    """Light that rises evenly gives each tile the same look, once it is normalised."""
    rise = 0.0 if kind == "plain" else np.arange(16)[:, None] + 2.0 * np.arange(16)
    image = tf.constant(np.broadcast_to(rise, (12, 16, 16))[..., None], tf.float32)
    model = lively(built())
    tiles, answer = model.puzzles(draws.added({"image": image}, model, training=True))
    assert len(set(answer.numpy().tolist())) > 1
    said = model(tiles).numpy()
    np.testing.assert_allclose(said, np.broadcast_to(said[:1], said.shape), atol=1e-4)
    if kind == "ramp":
        open_ = lively(built(dataclasses.replace(TINY, normalise=False)))
        assert np.ptp(open_(tiles).numpy(), axis=0).max() > 0.1, "here light would tell"


def weights(model):
    return {v.path: v.numpy() for v in model.weights}


def taken(there, model):
    """What `--init-from` does with a run's weights; what it says."""
    said = []
    source = initial.Source(tensors=weights(there), resize=lambda *_: None)
    initial.take(source, model, said.append)
    return "\n".join(said)


@pytest.mark.parametrize(("stem", "block"), [("cifar", "basic"), ("imagenet", "bottleneck")])
def test_a_resnet_takes_the_tower(stem, block, lively):
    config = dataclasses.replace(
        jigsaw.PRESETS["cifar10"], widths=(4, 8), depths=(2, 1), hidden=(4, 4), permutations=5,
        stem=stem, block=block,
    )  # fmt: skip
    there = lively(built(config))
    settings = dataclasses.replace(jigsaw.resnet_of(config), classes=5, size=32)
    model = resnet.build(settings)
    said = taken(there, model)
    assert f"{len(model.weights) - 2} of {len(model.weights)} tensors were taken" in said
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    last = keras.Model(model.input, model.get_layer("mean").input)
    np.testing.assert_allclose(last(image), there.tower(image), atol=1e-5)
    assert "The head keeps its initial values: logits is not there." in said


def test_alexnet_takes_the_convolutions_at_its_own_stride(lively):
    there = lively(built(SMALL))
    model = alexnet.build(
        alexnet.Config(classes=4, size=67, first=(11, 4), widths=(8,) * 5, hidden=(6, 10))
    )
    before = weights(model)
    said = taken(there, model)
    assert "10 of 16 tensors were taken" in said
    for path, value in weights(model).items():
        from_tower = path.startswith("conv_")
        wanted = weights(there)[path] if from_tower else before[path]
        np.testing.assert_array_equal(value, wanted)


@pytest.fixture(scope="module")
def served():
    """Endpoints of a tiny model with opinions, and the codec behind them."""
    model = built(seed=3)
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, tuple(variable.shape)).astype("float32"))
    pictures = rng.integers(0, 256, (2, 20, 20, 1), np.uint8)
    files = tuple(tf.io.encode_png(picture).numpy() for picture in pictures)
    codec = Images(labels=("a", "b"), size=16, channels=1, mean=(90.0,), examples=files)
    return model, codec, jigsaw.endpoints(model, codec)


def pngs(tiles):
    return [[tf.io.encode_png(tile).numpy() for tile in row] for row in tiles]


def test_solve_says_which_permutation_and_where_each_tile_belongs(served):
    model, codec, offered = served
    tiles = np.random.default_rng(0).integers(0, 256, (40, 9, 4, 4, 1), np.uint8)
    answer = offered["solve"].function(tf.constant(pngs(tiles)))
    said = tf.nn.softmax(model(codec.see(tf.cast(tiles, tf.float32)))).numpy()
    assert answer["permutation"].numpy().tolist() == said.argmax(axis=1).tolist()
    np.testing.assert_allclose(answer["probability"], said.max(axis=1), atol=1e-6)
    np.testing.assert_array_equal(answer["order"], model.orders[said.argmax(axis=1)])
    assert answer["order"].shape == (40, 9) and len(set(said.argmax(axis=1))) > 1


def test_solve_takes_tiles_of_any_size_and_colour(served):
    _, _, offered = served
    tiles = np.random.default_rng(0).integers(0, 256, (1, 9, 4, 4, 1), np.uint8)
    large = tiles.repeat(3, axis=2).repeat(3, axis=3).repeat(3, axis=4)
    solve = offered["solve"].function
    one, other = (solve(tf.constant(pngs(t))) for t in (tiles, large))
    np.testing.assert_allclose(one["probability"], other["probability"], atol=1e-3)


def test_the_example_is_two_puzzles_of_the_first_permutations(served):
    model, codec, offered = served
    tiles = offered["solve"].example["tiles"]
    assert len(tiles) == 2 and {len(row) for row in tiles} == {9}
    seen = codec.unsee(codec.read(tf.constant(codec.examples))).numpy()
    for row, picture, order in zip(tiles, seen, model.orders, strict=False):
        for place, file in enumerate(row):
            top, left = (5 * n + 2 for n in divmod(order[place], 3))
            found = tf.io.decode_png(file).numpy()
            np.testing.assert_array_equal(found, picture[top : top + 4, left : left + 4])


@pytest.mark.parametrize(
    ("row", "place", "content", "sentence"),
    [
        (1, 4, b"GIF89a", "tile 4 of row 1 is neither a JPEG nor a PNG"),
        (0, 8, b"", "tile 8 of row 0 is empty: it has no bytes"),
        (1, 0, b"\x89PNG\r\n\x1a\n", "tile 0 of row 1 is cut off"),
    ],
)
def test_a_tile_that_is_no_picture_is_refused_by_its_row(served, row, place, content, sentence):
    tiles = [list(files) for files in served[2]["solve"].example["tiles"]]
    tiles[row][place] = content
    with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
        served[2]["solve"].function(tf.constant(tiles))


def test_another_number_of_tiles_is_refused(served):
    tiles = served[2]["solve"].example["tiles"]
    short = [row[:8] for row in tiles]
    for given, told in ((short, "8"), (tiles[0], "no rows"), ([tiles], "2 x 9")):
        sentence = f"each row of tiles must hold 9 pictures; given {told}."
        with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
            served[2]["solve"].function(tf.constant(given))


def test_embed_is_the_mean_of_the_towers_last_map(served):
    model, codec, offered = served
    files = tf.constant(codec.examples)
    found = offered["embed"].function(files)["embedding"].numpy()
    seen = puzzles.normalised(codec.read(files))
    np.testing.assert_allclose(found, model.tower(seen).numpy().mean(axis=(1, 2)), atol=1e-5)
    assert found.shape == (2, TINY.features)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tile": 5}, "config.tile 5 and config.jitter 1 are more than config.cell, 5"),
        ({"cell": 6}, "config.size is 16; it must hold three cells of 6 a side."),
        ({"jitter": -1}, "config.jitter is -1; it must be at least 0."),
        ({"grey": 1.5}, r"config.grey is 1.5; it must lie in \[0, 1\]."),
        ({"permutations": 1}, "config.permutations is 1; it must lie in 2 to 362,880."),
        ({"permutations": 400_000}, "config.permutations is 400,000"),
        ({"tower": "alexnets"}, "Did you mean 'alexnet'?"),
        ({"stem": "cifer"}, "Did you mean 'cifar'?"),
        ({"hidden": (3,)}, r"config.hidden is \(3,\); it must hold two numbers"),
        ({"widths": (4, 8)}, "must hold as many numbers each"),
        ({"tower": "alexnet"}, "an AlexNet has five even widths and no depths"),
        (
            {"tower": "alexnet", "widths": (8,) * 5, "depths": ()},
            "config.tile is 4; nothing is left",
        ),
        ({"dropout": 1.0}, "config.dropout is 1.0"),
        ({"channels": 2}, "a picture has 1 or 3"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)

"""GPT: equal to independent implementations, causal, initialised and counted as published."""

import dataclasses
import math
import pathlib
import warnings
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmodels import gpt

# The counts of the released weights, and of the table of GPT-3 as it is printed.
PUBLISHED = {
    "gpt1": 116_534_784,
    "gpt2-small": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gpt3-125m": 125_226_240,
    "gpt3-350m": 355_871_744,
    "gpt3-760m": 760_300_032,
    "gpt3-1.3b": 1_517_123_584,
    "gpt3-2.7b": 2_651_553_280,
    "gpt3-6.7b": 6_658_404_352,
    "gpt3-13b": 12_853_386_240,
    "gpt3-175b": 174_604_259_328,
}
SMALL = gpt.Config(vocab=37, context=12, depth=3, heads=2, width=16, dropout=0.0)


@pytest.mark.tiny
@pytest.mark.parametrize("preset", PUBLISHED)
def test_counts_equal_the_published_ones_to_the_digit(preset):
    assert gpt.param_count(gpt.PRESETS[preset]) == PUBLISHED[preset]


@pytest.mark.tiny
def test_char_has_804_096_parameters_with_the_65_characters_of_tiny_shakespeare():
    config = dataclasses.replace(gpt.PRESETS["char"], vocab=65)
    assert gpt.param_count(config) == 804_096 == gpt.build(config).count_params()


def test_sixteen_heads_give_the_other_count_of_gpt3_1_3b():
    config = dataclasses.replace(gpt.PRESETS["gpt3-1.3b"], heads=16)
    assert gpt.param_count(config) == 1_315_723_264


# Against independent implementations. Every parameter is perturbed: initial values hide mistakes.


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(0, SMALL.vocab, [3, 12]).astype(np.int32)


def arrays(model: Any) -> dict[str, np.ndarray]:
    """Trainable values by path, without the model's name."""
    return {v.path.removeprefix("gpt/"): v.numpy() for v in model.trainable_variables}


def hub_logits(model: Any, config: gpt.Config, tokens: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from keras_hub.models import GPT2Backbone
    hub = GPT2Backbone(
        vocabulary_size=config.vocab,
        num_layers=config.depth,
        num_heads=config.heads,
        hidden_dim=config.width,
        intermediate_dim=4 * config.width,
        dropout=0.0,
        max_sequence_length=config.context,
    )
    ours, heads = arrays(model), config.heads
    hub.token_embedding.embeddings.assign(ours["tokens/embeddings"])
    hub.position_embedding.position_embeddings.assign(ours["positions/embeddings"])
    for i, layer in enumerate(hub.transformer_layers):
        block = {k.removeprefix(f"block_{i}/"): v for k, v in ours.items() if f"block_{i}/" in k}
        attention = layer._self_attention_layer
        kernels = np.split(block["attention/qkv/kernel"], 3, axis=1)
        biases = np.split(block["attention/qkv/bias"], 3)
        for kernel, bias, part in zip(kernels, biases, ("query", "key", "value"), strict=True):
            dense = getattr(attention, f"_{part}_dense")
            dense.kernel.assign(kernel.reshape(config.width, heads, -1))
            dense.bias.assign(bias.reshape(heads, -1))
        out = attention._output_dense
        out.kernel.assign(block["attention/out/kernel"].reshape(heads, -1, config.width))
        out.bias.assign(block["attention/out/bias"])
        for ours_name, theirs in (
            ("norm_1", layer._self_attention_layer_norm),
            ("norm_2", layer._feedforward_layer_norm),
        ):
            theirs.gamma.assign(block[f"{ours_name}/gamma"])
            theirs.beta.assign(block[f"{ours_name}/beta"])
        for ours_name, theirs in (
            ("up", layer._feedforward_intermediate_dense),
            ("down", layer._feedforward_output_dense),
        ):
            theirs.kernel.assign(block[f"{ours_name}/kernel"])
            theirs.bias.assign(block[f"{ours_name}/bias"])
    hub.layer_norm.gamma.assign(ours["norm/gamma"])
    hub.layer_norm.beta.assign(ours["norm/beta"])
    hidden = hub({"token_ids": tokens, "padding_mask": np.ones_like(tokens)}, training=False)
    return hidden.numpy() @ ours["tokens/embeddings"].T


def test_logits_equal_keras_hubs(tokens, lively):
    keras.utils.set_random_seed(0)
    model = lively(gpt.build(SMALL))
    given = model(tokens, training=False).numpy()
    np.testing.assert_allclose(given, hub_logits(model, SMALL, tokens), atol=1e-5, rtol=0)


# Our path -> where transformers keeps the same array; its Conv1D has our [in, out] kernels.
INSIDE_BLOCK = {
    "norm_1": "ln_1",
    "norm_2": "ln_2",
    "attention/qkv": "attn.c_attn",
    "attention/out": "attn.c_proj",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}
LEAVES = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias"}


def torch_name(path: str, *, generation: int) -> str:
    whole, leaf = path.rsplit("/", 1)
    if path == "tokens/embeddings":
        return "transformer.wte.weight" if generation == 2 else "transformer.tokens_embed.weight"
    if path == "positions/embeddings":
        return "transformer.wpe.weight" if generation == 2 else "transformer.positions_embed.weight"
    if whole == "norm":
        return f"transformer.ln_f.{LEAVES[leaf]}"
    block, _, part = whole.partition("/")
    number = block.removeprefix("block_")
    return f"transformer.h.{number}.{INSIDE_BLOCK[part]}.{LEAVES[leaf]}"


def torch_twin(model: Any, config: gpt.Config, *, generation: int) -> tuple[Any, dict[str, Any]]:
    """transformers' model with our weights, and its parameters by our paths."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch", reason="PyTorch is in the optional group `parity`")
        transformers = pytest.importorskip(
            "transformers", reason="transformers is in the optional group `parity`"
        )
        sizes = dict(
            vocab_size=config.vocab,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.depth,
            n_head=config.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
        if generation == 2:
            kind, settings = transformers.GPT2LMHeadModel, transformers.GPT2Config
        else:
            # Its "gelu" is the tanh approximation, as OpenAI's code has it.
            kind, settings = transformers.OpenAIGPTLMHeadModel, transformers.OpenAIGPTConfig
        twin = kind(settings(**sizes))
    twin.eval()
    named = dict(twin.named_parameters())
    mapped = {p: named[torch_name(p, generation=generation)] for p in arrays(model)}
    assert len({id(p) for p in mapped.values()}) == len(named), "every parameter is mapped"
    with torch.no_grad():
        for path, value in arrays(model).items():
            mapped[path].copy_(torch.from_numpy(value))
    return twin, mapped


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("generation", "config"),
    [(2, SMALL), (1, dataclasses.replace(SMALL, norm="post"))],
    ids=["gpt2", "gpt1"],
)
def test_logits_and_gradients_equal_transformers(generation, config, tokens, lively):
    keras.utils.set_random_seed(0)
    model = lively(gpt.build(config))
    twin, mapped = torch_twin(model, config, generation=generation)
    import torch

    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    logits = twin(torch.from_numpy(inputs.astype(np.int64))).logits
    flat = torch.from_numpy(targets.astype(np.int64)).reshape(-1)
    torch.nn.functional.cross_entropy(logits.reshape(-1, config.vocab), flat).backward()
    with tf.GradientTape() as tape:
        ours = model(inputs, training=True)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=ours)
        )
    np.testing.assert_allclose(ours, logits.detach().numpy(), atol=1e-5, rtol=0)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        theirs = mapped[variable.path.removeprefix("gpt/")].grad.numpy()
        np.testing.assert_allclose(
            tf.convert_to_tensor(gradient), theirs, atol=1e-5, err_msg=variable.path
        )


# Attention.


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("band", [None, 3])
def test_a_later_token_changes_nothing_before_it(tokens, lively, norm, band):
    model = lively(gpt.build(dataclasses.replace(SMALL, norm=norm, band=band)))
    changed = tokens.copy()
    changed[:, 7] = (changed[:, 7] + 1) % SMALL.vocab
    before, after = (model(t, training=False).numpy() for t in (tokens, changed))
    assert (before[:, :7] == after[:, :7]).all(), "to the bit"
    assert (before[:, 7:] != after[:, 7:]).any(axis=-1).all() or band is not None
    assert (before[:, 7] != after[:, 7]).any()


def test_a_band_as_long_as_the_context_is_dense(tokens, lively):
    dense = lively(gpt.build(SMALL))
    banded = gpt.build(dataclasses.replace(SMALL, band=SMALL.context))
    narrow = gpt.build(dataclasses.replace(SMALL, band=SMALL.context - 1))
    for model in (banded, narrow):
        for mine, theirs in zip(model.weights, dense.weights, strict=True):
            mine.assign(theirs)
    wanted = dense(tokens, training=False).numpy()
    assert (banded(tokens, training=False).numpy() == wanted).all()
    assert (narrow(tokens, training=False).numpy()[:, :-1] == wanted[:, :-1]).all()
    assert (narrow(tokens, training=False).numpy()[:, -1] != wanted[:, -1]).any()


def test_a_band_of_two_sees_exactly_two_positions():
    keras.utils.set_random_seed(0)
    attention = gpt.Attention(SMALL, band=2, name="attention")
    x = np.random.default_rng(0).normal(size=[1, 8, SMALL.width]).astype(np.float32)
    before = attention(x).numpy()
    for position in range(8):
        changed = x.copy()
        changed[:, position] += 1
        moved = (attention(changed).numpy() != before).any(axis=(0, 2))
        assert np.flatnonzero(moved).tolist() == [p for p in (position, position + 1) if p < 8]


def test_odd_layers_are_banded_and_even_ones_dense():
    model = gpt.build(dataclasses.replace(SMALL, depth=4, band=3))
    assert [block.attention.band for block in model.blocks] == [None, 3, None, 3]
    assert all(b.attention.band is None for b in gpt.build(SMALL).blocks)


def test_heads_may_be_wider_than_the_width_divides():
    config = dataclasses.replace(SMALL, head_width=11)
    model = gpt.build(config)
    assert model.blocks[0].attention.qkv.kernel.shape == (16, 3 * 2 * 11)
    assert model(np.zeros([1, 4], np.int32)).shape == (1, 4, SMALL.vocab)


# Training and initial values.


def test_dropout_is_on_in_training_only(tokens):
    keras.utils.set_random_seed(0)
    model = gpt.build(dataclasses.replace(SMALL, dropout=0.4))
    quiet = [model(tokens, training=False).numpy() for _ in range(2)]
    loud = [model(tokens, training=True).numpy() for _ in range(2)]
    assert (quiet[0] == quiet[1]).all()
    assert (loud[0] != loud[1]).any() and (loud[0] != quiet[0]).any()


def test_without_dropout_training_is_evaluation(tokens):
    model = gpt.build(SMALL)
    assert (model(tokens, training=True).numpy() == model(tokens, training=False).numpy()).all()


@pytest.mark.parametrize(("norm", "residual"), [("pre", 0.02 / math.sqrt(8)), ("post", 0.02)])
def test_initial_values_are_those_of_the_papers(norm, residual):
    keras.utils.set_random_seed(0)
    config = gpt.Config(
        vocab=500, context=200, depth=4, heads=4, width=128, norm=norm, position_stddev=0.03
    )
    for path, value in arrays(gpt.build(config)).items():
        kind = path.split("/")[-1]
        if kind in ("beta", "bias"):
            assert not value.any(), path
        elif kind == "gamma":
            assert (value == 1).all(), path
        else:
            wanted = 0.03 if "positions" in path else 0.02
            if "/out/" in path or "/down/" in path:
                wanted = residual
            assert value.std() == pytest.approx(wanted, rel=0.03), path
            assert abs(value.mean()) < 4 * wanted / math.sqrt(value.size), path


def test_without_biases_there_is_none():
    model = gpt.build(dataclasses.replace(SMALL, bias=False))
    assert not [path for path in arrays(model) if path.endswith(("bias", "beta"))]


def test_gpt1_normalises_sums_and_has_no_final_norm():
    model = gpt.build(dataclasses.replace(SMALL, norm="post"))
    assert model.norm is None
    assert not model.blocks[0].pre
    assert gpt.PRESETS["gpt1"].norm == "post"


def test_a_context_of_one_token_works_without_a_warning(lively):
    model = lively(gpt.build(dataclasses.replace(SMALL, context=1)))
    assert np.isfinite(model(np.zeros([2, 1], np.int32), training=False)).all()


# Wrong configs.


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 10, "heads": 3}, "config.width 10 does not divide into 3 heads"),
        ({"depth": 0}, "config.depth is 0; it must be at least 1."),
        ({"heads": -1}, "config.heads is -1; it must be at least 1."),
        ({"context": 0}, "config.context is 0; it must be at least 1."),
        ({"vocab": 0}, "config.vocab is 0; it must be at least 1."),
        ({"band": 0}, "config.band is 0; it must be at least 1."),
        ({"head_width": 0}, "config.head_width is 0; it must be at least 1."),
        ({"dropout": 1.0}, "config.dropout is 1.0; it must lie in [0, 1)."),
        ({"dropout": -0.1}, "config.dropout is -0.1; it must lie in [0, 1)."),
        ({"norm": "both"}, "norm"),
        ({"activation": "relu"}, "activation"),
    ],
)
def test_a_wrong_config_is_refused_with_one_sentence(change, sentence):
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(SMALL, **change)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("function", [gpt.build, gpt.param_count])
def test_a_vocabulary_is_needed_in_the_end(function):
    with pytest.raises(ValueError, match="config.vocab is not set"):
        function(dataclasses.replace(SMALL, vocab=None))


def test_the_file_reads_without_the_rest_of_the_house():
    source = pathlib.Path(gpt.__file__).read_text()
    assert "training" not in {
        line.split()[1].split(".")[0]
        for line in source.splitlines()
        if line.startswith(("import ", "from "))
    }

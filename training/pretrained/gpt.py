"""GPT-1 and GPT-2 as transformers stores them; its Conv1D keeps kernels [in, out], as we do."""

from typing import Any

from training.pretrained import Layout, Settings

WHOLE = {
    "gpt2": {"tokens": "wte", "positions": "wpe", "norm": "ln_f"},
    "openai-gpt": {"tokens": "tokens_embed", "positions": "positions_embed"},
}
IN_BLOCK = {
    "norm_1": "ln_1",
    "norm_2": "ln_2",
    "attention/qkv": "attn.c_attn",
    "attention/out": "attn.c_proj",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}


def fixed(settings: Settings) -> dict[str, Any]:
    """Heads, the place of the norms and the activation.

    What GPT-1's config.json calls "gelu" is the tanh approximation.
    """
    first = settings["model_type"] == "openai-gpt"
    given = settings.get("afn" if first else "activation_function", "gelu_new")
    return {
        "heads": settings["n_head"],
        "norm": "post" if first else "pre",
        "activation": "gelu_tanh" if first else ACTIVATIONS.get(given, given),
    }


def name(path: str, settings: Settings) -> str:
    """Such as "h.0.attn.c_attn.weight" for "gpt/block_0/attention/qkv/kernel"."""
    owner, _, leaf = path.removeprefix("gpt/").rpartition("/")
    leaf = "bias" if leaf in ("beta", "bias") else "weight"
    block, _, part = owner.partition("/")
    if part in IN_BLOCK:
        return f"h.{block.removeprefix('block_')}.{IN_BLOCK[part]}.{leaf}"
    return f"{WHOLE[settings['model_type']].get(owner, owner)}.{leaf}"


LAYOUTS = {
    "hugging_face": Layout(types=tuple(WHOLE), prefix="transformer.", fixed=fixed, name=name)
}

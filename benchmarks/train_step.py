"""How long is one training step of the small GPT, ours and its peers'?

    python -m benchmarks.train_step --rounds=9 --steps=50

All train nanoGPT's network for a CPU (4 layers, 4 heads, width 128, context 64, 65 characters,
tied head, exact GELU, no dropout) on batches of 12 random windows, with AdamW(0.9, 0.99), decay
0.1 on matrices and gradients clipped to norm 1; all in float32. The floor is the step's matrix
products alone, by the fastest of PyTorch, TensorFlow and NumPy in each round. `ours-one-program`
is our step with one XLA program for all cores, the way that was not taken (decision 0009), and in
`ours-spread` each core's program spreads its operations over all cores (decision 0028).

Unequal where a library does not offer the same: transformers' GPT-2 modules and keras-hub's keep
their biases, and keras-hub's GELU is the tanh approximation. The table shows parameter counts.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import tyro

from benchmarks import peers, record

DEPTH, HEADS, WIDTH, CONTEXT, VOCAB, BATCH = 4, 4, 128, 64, 65, 12
POOL = 64  # different batches, taken in turn
RATE, BETAS, DECAY, CLIP, EPSILON = 1e-3, (0.9, 0.99), 0.1, 1.0, 1e-8
FLOORS = ("torch", "tensorflow", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Times the training step of the small GPT against its peers.

    Attributes:
        rounds: Times that each peer has its turn.
        steps: Steps in a turn.
        only: Peers to run, and the reference; all where empty.
        save: Whether to write docs/results/train_step.json and .png.
        worker: Used by the command itself.
    """

    rounds: int = 9
    steps: int = 50
    only: tuple[str, ...] = ()
    save: bool = True
    worker: str = ""


def windows() -> tuple[np.ndarray, np.ndarray]:
    """Random tokens and the tokens after them, each int32 [POOL, BATCH, CONTEXT]."""
    shape = (POOL, BATCH, CONTEXT + 1)
    tokens = np.random.default_rng(0).integers(0, VOCAB, shape, dtype=np.int32)
    return tokens[..., :-1], tokens[..., 1:]


def ours(*, lanes: bool = True, spread: bool = False) -> tuple[peers.Job, str]:
    """This project's step as a run makes it: many steps in a graph, compiled.

    Without `lanes` one XLA program takes the whole batch, instead of one a core (decision 0009);
    where they `spread`, each core's program uses all cores (decision 0028).
    """
    import tensorflow as tf

    from kmodels import gpt
    from training import optimizers, step
    from training.learners import gradient
    from training.objectives.next_token import next_token
    from training.optimization import AdamW, Constant

    if not lanes:
        step.lanes = lambda rows: 1
    if not spread:
        step.share_cores(BATCH)
    config = dataclasses.replace(gpt.PRESETS["char"], vocab=VOCAB)
    model = gpt.build(config)
    values = AdamW(learning_rate=RATE, beta_2=BETAS[1], weight_decay=DECAY, clip_norm=CLIP)
    learner = gradient.Gradient(
        model=model,
        objective=next_token,
        optimizer=optimizers.make(values, Constant(), 2000, model),
        clip_norm=CLIP,
        micro_batches=1,
        compile=True,
    )
    tokens, targets = windows()
    data = tf.data.Dataset.from_tensor_slices({"tokens": tokens, "targets": targets}).repeat()
    batches = iter(data.prefetch(4))
    many = step.repeat(learner.train_step, tf.distribute.get_strategy())
    return lambda steps: many(batches, steps), f"{model.count_params():,} parameters"


def _torch(*, compiled: bool, optimizer: Literal["fused", "foreach"]) -> tuple[peers.Job, str]:
    """transformers' GPT-2 in PyTorch, its loss included in the model."""
    import torch
    import transformers

    config = transformers.GPT2Config(
        vocab_size=VOCAB,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=HEADS,
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).train()
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": DECAY},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    chosen: dict[str, Any] = {optimizer: True}
    rule = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON, **chosen)

    def loss_of(tokens: Any, targets: Any) -> Any:
        logits = model(input_ids=tokens).logits
        return torch.nn.functional.cross_entropy(logits.view(-1, VOCAB), targets.view(-1))

    forward = torch.compile(loss_of) if compiled else loss_of
    tokens, targets = (torch.tensor(a, dtype=torch.int64) for a in windows())

    def job(steps: int) -> None:
        for number in range(steps):
            loss = forward(tokens[number % POOL], targets[number % POOL])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, CLIP)
            rule.step()
            rule.zero_grad(set_to_none=True)
        loss.item()

    return job, f"{sum(w.numel() for w in weights):,} parameters, with biases"


def keras_hub_fit() -> tuple[peers.Job, str]:
    """keras-hub's GPT-2 and `Model.fit` with their defaults."""
    import keras
    import keras_hub
    import tensorflow as tf

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCAB,
        num_layers=DEPTH,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=4 * WIDTH,
        dropout=0.0,
        max_sequence_length=CONTEXT,
    )
    model = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    rule = keras.optimizers.AdamW(
        RATE, beta_1=BETAS[0], beta_2=BETAS[1], weight_decay=DECAY, epsilon=EPSILON
    )
    rule.global_clipnorm = CLIP
    rule.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=rule, loss=loss, weighted_metrics=None, metrics=None)
    tokens, targets = windows()
    features = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    data = tf.data.Dataset.from_tensor_slices((features, targets)).repeat().prefetch(4)

    def job(steps: int) -> None:
        model.fit(data, steps_per_epoch=steps, epochs=1, verbose=0)

    return job, f"{model.count_params():,} parameters, with biases, tanh GELU"


def products() -> list[tuple[tuple[int, ...], tuple[int, ...], bool, bool, int]]:
    """The step's matrix products: both shapes, whether each is transposed, how many times."""
    rows, head = BATCH * CONTEXT, WIDTH // HEADS
    out: list[tuple[tuple[int, ...], tuple[int, ...], bool, bool, int]] = []
    sizes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)]
    for inner, outer, count in [*((i, o, DEPTH) for i, o in sizes), (WIDTH, VOCAB, 1)]:
        out.append(((rows, inner), (inner, outer), False, False, count))  # forward
        out.append(((rows, outer), (inner, outer), False, True, count))  # into the input
        out.append(((rows, inner), (rows, outer), True, False, count))  # into the weight
    vectors, scores = (BATCH * HEADS, CONTEXT, head), (BATCH * HEADS, CONTEXT, CONTEXT)
    out.append((vectors, vectors, False, True, 2 * DEPTH))  # scores; and into the weights
    out.append((scores, vectors, False, False, 2 * DEPTH))  # mixed values; into the queries
    out.append((scores, vectors, True, False, 2 * DEPTH))  # into the keys; into the values
    return out


def _floor(library: str) -> tuple[peers.Job, str]:
    """The products alone, by one library."""
    random = np.random.default_rng(0)
    calls: list[tuple[Callable[[], Any], int]] = []
    for left, right, turn_left, turn_right, count in products():
        a, b = (random.standard_normal(s, dtype=np.float32) for s in (left, right))
        calls.append((_product(library, a, b, turn_left, turn_right), count))

    def job(steps: int) -> None:
        for _ in range(steps):
            for call, count in calls:
                for _ in range(count):
                    call()

    flop = sum(2 * math.prod(p[0]) * p[1][-2 if p[3] else -1] * p[4] for p in products())
    return job, f"{flop / 1e9:.2f} GFLOP of matrix products"


def _product(
    library: str, a: np.ndarray, b: np.ndarray, turn_left: bool, turn_right: bool
) -> Callable[[], Any]:
    if library == "tensorflow":
        import tensorflow as tf

        x, y = tf.constant(a), tf.constant(b)
        return lambda: tf.matmul(x, y, transpose_a=turn_left, transpose_b=turn_right)
    if library == "torch":
        import torch

        p, q = torch.from_numpy(a), torch.from_numpy(b)
        p, q = (p.mT if turn_left else p), (q.mT if turn_right else q)
        return lambda: torch.matmul(p, q)
    a, b = (a.swapaxes(-1, -2) if turn_left else a), (b.swapaxes(-1, -2) if turn_right else b)
    return lambda: np.matmul(a, b)


PEERS: dict[str, Callable[[], tuple[peers.Job, str]]] = {
    "ours": ours,
    "ours-one-program": lambda: ours(lanes=False),
    "ours-spread": lambda: ours(spread=True),
    "torch-compile:fused": lambda: _torch(compiled=True, optimizer="fused"),
    "torch-compile:foreach": lambda: _torch(compiled=True, optimizer="foreach"),
    "torch-eager:fused": lambda: _torch(compiled=False, optimizer="fused"),
    "torch-eager:foreach": lambda: _torch(compiled=False, optimizer="foreach"),
    "keras-hub-fit": keras_hub_fit,
    **{f"floor:{name}": functools.partial(_floor, name) for name in FLOORS},
}


def main() -> None:
    """Runs all peers in turn, prints the table and records it."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.train_step")
    if flags.worker:
        peers.serve(PEERS[flags.worker], warm=10)
        return
    names = [name for name in PEERS if not flags.only or name in flags.only]
    found = peers.measured(__file__, names, rounds=flags.rounds, units=flags.steps)
    values = {name: [1e3 * s for s in row] for name, row in found.seconds.items()}
    about = found.about
    peers.fastest(values, about)
    references = [n for n in ("torch-compile", "keras-hub-fit", "floor") if n in values]
    title = "Training step of the 0.8M-parameter GPT, batch 12 x 64 tokens"
    peers.show(title, values, unit="ms", references=references, about=about)
    peers.warn(found.busy)
    if flags.save:
        compared = {name: peers.ratios(values, name) for name in references}
        record.record(
            "train_step",
            {"one step": values},
            unit="ms",
            title=title,
            ratios=compared,
            about=about,
            others_share_of_cpu=found.busy,
        )


if __name__ == "__main__":
    main()

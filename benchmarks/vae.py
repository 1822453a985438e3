"""Does the bound of a linear VAE meet probabilistic PCA, and how likely is MNIST to a deep one?

    python -m benchmarks.vae --data-dir=FOLDER

The first part makes pictures from a factor model and trains a linear network with Gaussian pixels
of the true variance on the bound. Nothing of that kind can be better than probabilistic PCA, whose
likelihood Tipping and Bishop (1999) give in closed form; the gap is what training has left.

The second part is the public command with `--preset=burda`: two layers of 200 tanh, 50 latents,
black and white MNIST, drawn anew whenever a picture is seen. Then L_k of held-out pictures with k
draws, from the best checkpoint. Burda et al. (2015) report 86.76 nats by L_5000 for all 10,000
pictures after 3,280 epochs in batches of 20; here it is `--steps` in batches of 100 and the first
`--pictures`. Runs stay in `--runs-dir`; the same command goes on where it was stopped.
"""

import dataclasses
import pathlib

import numpy as np
import tyro

from benchmarks import record, runs

BURDA = 86.76  # nats, minus L_5000, k = 1
SIDE, FACTORS, VARIANCE, ROWS = 4, 3, 0.25, 2000
BATCH, RATE = 200, 3e-2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """Trains both.

    Attributes:
        data_dir: MNIST's four IDX files; without it the first part alone.
        runs_dir: Where the run on MNIST is kept.
        linear_steps: Of the linear network.
        seeds: One linear network each.
        steps: On MNIST.
        pictures: Held-out ones whose bounds are taken, a multiple of 100.
        draws: The numbers of draws k.
        save: Whether to write docs/results/vae.json and .png.
    """

    data_dir: pathlib.Path | None = None
    runs_dir: pathlib.Path = pathlib.Path("runs/likelihood")
    linear_steps: int = 12_000
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 60_000
    pictures: int = 1000
    draws: tuple[int, ...] = (1, 5, 50, 5000)
    save: bool = True


def factors(seed: int) -> tuple[np.ndarray, float]:
    """Pictures float32 [ROWS, 4, 4, 1], and their likelihood under probabilistic PCA, nats each."""
    rng = np.random.default_rng(seed)
    width = SIDE * SIDE
    rows = rng.normal(size=(ROWS, FACTORS)) @ rng.normal(size=(FACTORS, width))
    rows += rng.normal(size=width) + np.sqrt(VARIANCE) * rng.normal(size=rows.shape)
    covariance = np.cov(rows.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    loads = vectors[:, -FACTORS:] * np.sqrt(values[-FACTORS:] - VARIANCE)  # their equation 7
    modelled = loads @ loads.T + VARIANCE * np.eye(width)
    trace = np.trace(np.linalg.solve(modelled, covariance))
    likelihood = -0.5 * (width * np.log(2 * np.pi) + np.linalg.slogdet(modelled)[1] + trace)
    return rows.reshape(-1, SIDE, SIDE, 1).astype(np.float32), float(likelihood)


def linear(seed: int, steps: int) -> tuple[float, float]:
    """What the bound of a trained linear network is and what it cannot exceed, nats a picture."""
    import keras
    import tensorflow as tf

    from kmodels import vae
    from training import optimizers
    from training.objectives.elbo import elbo
    from training.optimization import Adam, Cosine
    from training.step import descend

    images, likelihood = factors(seed)
    keras.utils.set_random_seed(seed)
    model = vae.build(
        vae.Config(
            size=SIDE,
            hidden=(),
            latents=FACTORS,
            output="gaussian",
            mean="linear",
            variance=VARIANCE,
        )
    )
    optimizer = optimizers.make(Adam(learning_rate=RATE), Cosine(), steps, model)

    def step(image: tf.Tensor) -> tf.Tensor:
        moves = [(optimizer, model.trainable_variables)]
        return descend(elbo, model, moves, {"image": image})["loss"]

    move = tf.function(step, autograph=False)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        move(tf.constant(images[rng.integers(0, ROWS, BATCH)]))
    # Log weights are quadratic in the noise: these have its mean and covariance, so their mean is
    # the bound and no estimate.
    points = np.sqrt(FACTORS) * np.concatenate([np.eye(FACTORS), -np.eye(FACTORS)])
    noise = np.broadcast_to(points[:, None], (2 * FACTORS, ROWS, FACTORS)).astype(np.float32)
    return float(tf.reduce_mean(vae.log_weights(model, tf.constant(images), noise))), likelihood


def mnist(flags: Flags) -> dict[str, list[float]]:
    """Minus L_k of held-out pictures by k, nats, one value for each hundred pictures."""
    import keras
    import tensorflow as tf

    from kmodels import vae
    from training import checkpoints, draws, recipes
    from training import runs as folders
    from training.evaluators import likelihood
    from training.objectives.elbo import seen

    assert flags.data_dir is not None
    every = max(flags.steps // 600, 1) * 100
    runs.kept(
        flags.runs_dir,
        *("--model=vae", "--preset=burda", "--data=mnist", f"--data-dir={flags.data_dir}"),
        *(f"--steps={flags.steps}", f"--eval-every={every}", f"--save-every={every}"),
        "--no-export",
    )
    run = folders.read(flags.runs_dir)
    keras.utils.set_random_seed(0)  # decides what is black and what is white
    model = vae.build(run.config)
    weights = checkpoints.model_weights(folders.tensors(flags.runs_dir))
    for variable in model.weights:
        variable.assign(weights[variable.path])
    data = recipes.load("vae").prepare(run.config, run.recipe, flags.data_dir).data
    found: dict[str, list[float]] = {f"L_{k}": [] for k in flags.draws}
    takes = {
        k: tf.function(
            lambda image, seed, k=k: likelihood.bound(model, image, draws=k, seed=seed),
            autograph=False,
        )
        for k in flags.draws
    }
    for i, batch in enumerate(data.batches("eval", 100, seed=0).take(flags.pictures // 100)):
        told = seen(model, draws.added(batch, model, training=True))  # black and white
        for k, take in takes.items():
            found[f"L_{k}"].append(-float(tf.reduce_mean(take(told, tf.constant(i)))))
    return found


def main() -> None:
    """Trains, prints and records."""
    flags = tyro.cli(Flags, prog="python -m benchmarks.vae")
    met = [linear(seed, flags.linear_steps) for seed in flags.seeds]
    for seed, (bound, likelihood) in zip(flags.seeds, met, strict=True):
        gap = likelihood - bound
        print(f"linear, seed {seed}: bound {bound:.4f}, probabilistic PCA {likelihood:.4f}, {gap=}")
    figures = {
        "linear, nats below 0": {
            "bound": [-bound for bound, _ in met],
            "probabilistic PCA": [-likelihood for _, likelihood in met],
        }
    }
    if flags.data_dir is not None:
        bounds = mnist(flags)
        for name, values in bounds.items():
            print(f"MNIST, {name}: {-np.mean(values):.2f} nats; Burda's L_5000 {-BURDA}")
        figures["MNIST, nats below 0"] = {**bounds, "Burda's L_5000": [BURDA]}
    if flags.save:
        record.record(
            "vae",
            figures,
            unit="minus log probability of a picture, nats",
            title="The bound of a linear VAE meets probabilistic PCA; MNIST's bounds tighten",
            gaps=[likelihood - bound for bound, likelihood in met],
            linear_steps=flags.linear_steps,
            steps=flags.steps,
            pictures=flags.pictures,
        )


if __name__ == "__main__":
    main()

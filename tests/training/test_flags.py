"""The command line: what it takes, what it says, and what it refuses."""

import dataclasses
import json
import time

import pytest

from kmodels import gpt
from training import command, config, flags, optimization, run


def parsed(*argv):
    """Flags and recipe of the tiny GPT with these flags."""
    return flags.parse(["--model=gpt", "--preset=tiny", *argv])


def test_without_overrides_the_recipe_stands():
    given, recipe = parsed()
    assert given.config == gpt.PRESETS["tiny"]
    assert recipe.steps == 40 and given.seed == 0


@pytest.mark.parametrize(
    "argv",
    [
        ("--batch-size=16", "--run-dir=x", "--config.head-width=8"),
        ("--batch_size=16", "--run_dir=x", "--config.head_width=8"),
        ("--batch-size", "16", "--run_dir", "x", "--config.head-width", "8"),
        ("--config.head_width", "8", "--run-dir", "x", "--batch_size=16"),
    ],
)
def test_dashes_or_underscores_equals_or_a_space(argv):
    given, recipe = parsed(*argv)
    assert recipe.batch_size == 16
    assert str(given.run_dir) == "x"
    assert given.config == dataclasses.replace(gpt.PRESETS["tiny"], head_width=8)


def test_model_and_preset_may_be_separated_by_a_space():
    given, _ = flags.parse(["--preset", "gpt2-small", "--model", "gpt"])
    assert given.config == gpt.PRESETS["gpt2-small"]


def test_without_a_preset_there_is_a_default_one():
    assert flags.parse(["--model=gpt"])[0].preset == "char"


def test_every_part_can_be_overridden_with_its_own_type():
    given, recipe = parsed(
        "--optimizer.learning-rate=3e-4",
        "--optimizer.clip-norm=None",
        "--optimizer.decay=all",
        "--schedule.kind=constant",
        "--config.band=4",
        "--config.norm=post",
        "--precision=mixed_bfloat16",
        "--compile=off",
        "--strategy=one",
        "--codec.kind=byte_pairs",
    )
    assert recipe.optimizer == dataclasses.replace(
        recipe.optimizer, learning_rate=3e-4, clip_norm=None, decay="all"
    )
    assert recipe.schedule.kind == "constant" and recipe.codec.kind == "byte_pairs"
    assert given.config.band == 4 and given.config.norm == "post"
    assert (given.precision, given.compile, given.strategy) == ("mixed_bfloat16", "off", "one")


def test_another_kind_comes_with_its_own_defaults_and_fields():
    _, base = parsed()
    _, recipe = parsed(
        "--optimizer.kind=lars", "--optimizer.momentum=0.8",
        "--schedule.kind", "step", "--schedule.boundaries", "10", "20",
    )  # fmt: skip
    assert recipe.optimizer == optimization.LARS(momentum=0.8)
    assert recipe.schedule == optimization.Step(boundaries=(10, 20))
    assert parsed("--optimizer.kind=adamw", "--schedule.kind=cosine")[1] == base
    _, looks = parsed("--optimizer.kind=sgd", "--optimizer.nesterov=True")
    assert looks.optimizer == optimization.SGD(nesterov=True)


def test_every_kind_can_be_chosen_as_it_stands():
    _, base = parsed()
    for part in ("optimizer", "schedule"):
        for name, kind in getattr(optimization, f"{part.upper()}S").items():
            _, recipe = parsed(f"--{part}.kind={name}")
            same = name == getattr(base, part).kind
            assert getattr(recipe, part) == (getattr(base, part) if same else kind())


def test_where_two_networks_play_each_has_an_optimizer_of_its_own():
    _, base = flags.parse(["--model=gan"])
    for spelled in ("discriminator-optimizer", "discriminator_optimizer"):
        _, recipe = flags.parse(["--model=gan", f"--{spelled}.learning-rate=3e-4"])
        changed = dataclasses.replace(base.discriminator_optimizer, learning_rate=3e-4)
        assert recipe == dataclasses.replace(base, discriminator_optimizer=changed)
        _, recipe = flags.parse(
            ["--model=gan", f"--{spelled}.kind=sgd", f"--{spelled}.momentum=0.5"]
        )
        assert recipe.discriminator_optimizer == optimization.SGD(momentum=0.5)
        assert recipe.optimizer == base.optimizer
    _, recipe = flags.parse(["--model=gan", "--recipe=paper", "--critic-steps=2"])
    assert (recipe.critic_steps, recipe.origin) == (2, "own")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model=gan", "--discriminator-optimizer.kind=sgdd"], "Did you mean 'sgd'"),
        (["--model=gan", "--discriminator-optimizer.momentum=1"], "where the kind is adam"),
        (["--model=gan", "--critic-steps=3"], "critic_steps is 3; it must divide batch_size, 100"),
        (["--model=gan", "--critic-steps=0"], "critic_steps is 0; it must be at least 1"),
        (["--model=gpt", "--critic-steps=2"], "it must be 1 where the learner is gradient"),
        (["--model=gpt", "--discriminator-optimizer.kind=sgd"], "There is no flag"),
    ],
)
def test_what_one_network_or_two_cannot_be_given_is_a_sentence(argv, words):
    with pytest.raises(config.UserError, match=words):
        flags.parse(argv)


def test_help_shows_the_chosen_kind_and_names_the_others(training_main):
    ended = training_main(
        "--model=gpt", "--optimizer.kind=sgd", "--schedule.kind=plateau", "--help"
    )
    assert ended.status == 0
    for word in ("--optimizer.nesterov", "--schedule.patience", "adafactor", "inverse_sqrt"):
        assert word in ended.output
    assert "--optimizer.beta-1" not in ended.output


def test_the_recipe_follows_the_overridden_config():
    _, small = flags.parse(["--model=gpt", "--preset=gpt2-small"])
    _, large = flags.parse(["--model=gpt", "--preset=gpt2-small", "--config.depth=48"])
    assert large.optimizer.learning_rate < small.optimizer.learning_rate
    _, given = flags.parse(
        ["--model=gpt", "--preset=gpt2-small", "--config.depth=48", "--optimizer.learning-rate=1"]
    )
    assert given.optimizer.learning_rate == 1.0


def test_a_profile_is_chosen_and_loses_the_papers_name_when_it_is_changed():
    _, auto = flags.parse(["--model=vgg"])
    _, paper = flags.parse(["--recipe", "paper", "--model=vgg", "--profile=1:2"])
    assert (auto.origin, auto.batch_size) == ("cpu", 64)
    assert (paper.origin, paper.batch_size, paper.steps) == ("paper", 256, 370_000)
    for kept in ("--log-every=25", "--loss-limit=9", "--data=mnist", "--optimizer.kind=sgd"):
        assert flags.parse(["--model=vgg", "--recipe=paper", kept])[1].origin == "paper"
    for changed in ("--steps=50", "--optimizer.momentum=0.5", "--schedule.kind=cosine"):
        assert flags.parse(["--model=vgg", "--recipe=paper", changed])[1].origin == "own"
    assert flags.parse(["--model=vgg", "--recipe=cpu", "--steps=50"])[1].origin == "cpu"


def test_describe_shows_whose_schedule_it_is(training_main):
    ended = training_main("--model=resnet", "--preset=cifar-110", "--recipe=paper", "--describe")
    described = json.loads(ended.output[: ended.output.index("parameters  ")])
    assert described["recipe"]["origin"] == "paper"
    assert described["recipe"]["schedule"]["warmup_steps"] == 400


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model=gtp"], ["There is no model 'gtp'. Did you mean 'gpt'?", "Allowed: "]),
        (["--preset=tiny"], ["No --model was given", "gpt"]),
        (["--model=gpt", "--preset=gpt2-smal"], ["'gpt2-smal'. Did you mean 'gpt2-small'?"]),
        (["--model=gpt", "--recipe=papre"], ["'papre'. Did you mean 'paper'?", "auto, paper, cpu"]),
        (["--model=gpt", "--recipe"], ["--recipe"]),
        (["--model=gpt", "--stepz=3"], ["--stepz", "--steps"]),
        (["--model=gpt", "--bacth-size=3"], ["--bacth-size", "--batch-size"]),
        (["--model=gpt", "--config.dept=3"], ["--config.dept", "--config.depth"]),
        (["--model=gpt", "--optimizer.learning-rat=3"], ["--optimizer.learning-rate"]),
        (["--model=gpt", "--steps=many"], ["--steps", "many"]),
        (["--model=gpt", "--steps=1.5"], ["--steps", "1.5"]),
        (["--model=gpt", "--optimizer.learning-rate=fast"], ["learning-rate", "fast"]),
        (["--model=gpt", "--strategy=both"], ["both", "one", "mirrored", "multi_worker"]),
        (["--model=gpt", "--precision=float16"], ["float16", "float32", "mixed_bfloat16"]),
        (["--model=gpt", "--compile=maybe"], ["maybe", "auto", "on", "off"]),
        (["--model=gpt", "--config.depth=0"], ["config.depth is 0; it must be at least 1."]),
        (["--model=gpt", "--config.heads=3"], ["does not divide into 3 heads"]),
        (["--model=gpt", "--config.norm=both"], ["both", "pre", "post"]),
        (["--model=gpt", "--data=dcos"], ["'dcos'. Did you mean 'docs'?", "text"]),
        (["--model=gpt", "--steps=0"], ["steps is 0; it must be at least 1."]),
        (["--model=gpt", "--eval-every=7"], ["eval_every is 7", "a multiple of log_every"]),
        (["--model=gpt", "--strategy=multi_worker"], ["TF_CONFIG", "--spawn=N"]),
        (["--model=gpt", "--strategy=one", "--replicas=2"], ["--replicas is 2"]),
        (["--model=gpt", "--optimizer.learning-rate=-1"], ["learning_rate", "-1"]),
        (["--model=gpt", "--optimizer.beta-1=1.5"], ["beta_1", "1.5"]),
        (["--model=gpt", "--optimizer.clip-norm=0"], ["clip_norm", "0"]),
        (["--model=gpt", "--optimizer.kind=larz"], ["'larz'. Did you mean 'lars'?", "adafactor"]),
        (["--model=gpt", "--optimizer.kind"], ["--optimizer.kind"]),
        (["--model=gpt", "--schedule.kind=cosin"], ["'cosin'. Did you mean 'cosine'?", "plateau"]),
        (
            ["--model=gpt", "--optimizer.momentum=1"],
            ["--optimizer.momentum where the kind is adamw"],
        ),
        (
            ["--model=gpt", "--optimizer.kind=sgd", "--optimizer.beta-1=0.9"],
            ["--optimizer.beta-1 where the kind is sgd. Did you mean --optimizer."],
        ),
        (
            ["--model=gpt", "--schedule.patience=3"],
            ["--schedule.patience where the kind is cosine"],
        ),
        (["--model=gpt", "--optimizer.kind=sgd", "--optimizer.momentum=2"], ["momentum is 2.0"]),
        (["--model=gpt", "--average-half-life=0"], ["average_half_life is 0", "at least 1"]),
        (["--model=gpt", "--schedule.warmup-steps=-5"], ["warmup_steps", "-5"]),
        (["--model=gpt", "--seed=-1"], ["seed", "-1"]),
        (["--model=gpt", "--steps"], ["--steps"]),
        (["--model=gpt", "extra"], ["extra"]),
    ],
    ids=lambda value: " ".join(value[-1:]) if isinstance(value, list) else None,
)
def test_what_cannot_be_is_refused_with_what_was_given_and_what_is_allowed(
    training_main, refused, monkeypatch, argv, words
):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    decided_later = any(word.startswith("--strategy") for word in argv)
    refused(training_main(*argv, *([] if decided_later else ["--describe"])), *words)


@pytest.mark.parametrize(
    ("switch", "xla", "wanted"),
    [("auto", True, True), ("auto", False, False), ("on", False, True), ("off", True, False)],
)
def test_compile_auto_follows_the_recipe(switch, xla, wanted):
    given, recipe = parsed(f"--compile={switch}")
    recipe = dataclasses.replace(recipe, xla=xla)
    assert run.resolve(given, recipe, given.config, "").compile is wanted


def test_list_names_papers_and_presets(training_main):
    ended = training_main("--list")
    assert ended.status == 0
    assert "gpt  Improving Language Understanding by Generative Pre-Training (2018)" in ended.output
    for preset in gpt.PRESETS:
        assert preset in ended.output


def test_help_explains_the_flags_of_a_model(training_main):
    first = training_main("--help")
    assert first.status == 0 and "--model=NAME" in first.output
    whole = training_main("--model=gpt", "--help")
    assert whole.status == 0
    for word in ("--batch-size", "--config.depth", "--optimizer.learning-rate", "--run-dir"):
        assert word in whole.output


def test_describe_tells_the_largest_network_in_seconds(training_main):
    began = time.perf_counter()
    ended = training_main("--model=gpt", "--preset=gpt3-175b", "--describe")
    assert time.perf_counter() - began < 20
    assert ended.status == 0
    assert "parameters  174,604,259,328" in ended.output.splitlines()
    described = json.loads(ended.output[: ended.output.index("parameters  ")])
    assert described["config"]["depth"] == 96 and described["recipe"]["batch_size"] >= 1


def test_describe_resolves_what_the_data_decides(training_main, tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("abcdefghij" * 40)
    ended = training_main(
        "--model=gpt", "--preset=char", "--data=text", f"--data-dir={file}",
        "--config.context=8", "--describe", f"--run-dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert ended.status == 0, ended.output
    wanted = dataclasses.replace(gpt.PRESETS["char"], vocab=10, context=8)
    assert f"parameters  {gpt.param_count(wanted):,}" in ended.output.splitlines()
    assert not (tmp_path / "run").exists()


def test_the_program_to_paste_starts_this_python(monkeypatch):
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sys.executable", "/some/where/python")
    assert command.program() == "/some/where/python"
    monkeypatch.setattr("shutil.which", lambda name: "/some/where/python")
    assert command.program() == "python"
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert command.program() == "uv run python"


def test_flags_of_the_recipe_are_all_fields_of_it():
    _, recipe = parsed("--eval-batches=3", "--micro-batches=2", "--log-every=5")
    assert isinstance(recipe, config.Recipe)
    assert (recipe.eval_batches, recipe.micro_batches, recipe.log_every) == (3, 2, 5)

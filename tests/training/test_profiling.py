"""A profile of the steps that were asked for."""

import io

import pytest
import rich.console
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from training import loop, profiling
from training.config import UserError
from training.journal import Journal


@pytest.mark.parametrize("text", ["100", "10:", "a:b", "20:10", "0:5", "5:41", "-1:5", "1:2:3"])
def test_steps_that_cannot_be_profiled_are_refused(text):
    with pytest.raises(UserError, match="--profile is"):
        profiling.steps(text, 40)


def test_steps_are_two_numbers():
    assert profiling.steps("10:20", 40) == (10, 20)
    assert profiling.steps("40:40", 40) == (40, 40)
    assert profiling.steps(None, 40) is None


def test_the_command_refuses_before_anything_is_written(
    training_main, refused, tiny_argv, tmp_path
):
    ended = training_main(*tiny_argv, "--profile=30:50", f"--run-dir={tmp_path / 'run'}")
    refused(ended, "--profile is 30:50", "ends at step 40")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def train(make_run, make_learner, data):
    """Trains with a profile; gives the run folder and what was said."""

    def call(steps):
        run = make_run(profile=steps)
        console = rich.console.Console(file=io.StringIO(), width=300)
        journal = Journal(run, unit="tokens", console=console)
        loop.train(run, make_learner(run), data, journal, strategy=tf.distribute.get_strategy())
        return run.run_dir, console.file.getvalue()

    return call


def test_the_profile_holds_the_steps_operations(train):
    folder, said = train((3, 4))
    (file,) = folder.glob("tensorboard/plugins/profile/*/*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(file.read_bytes())
    names = {m.name for plane in space.planes for m in plane.event_metadata.values()}
    assert any("MatMul" in name for name in names)
    assert sum(len(line.events) for plane in space.planes for line in plane.lines) > 100
    assert said.count("A profile is in") == 1 and f"--logdir={folder / 'tensorboard'}" in said
    lines = said.splitlines()
    told = next(i for i, line in enumerate(lines) if "A profile" in line)
    assert any(line.startswith("step 2/6") for line in lines[:told])
    assert lines[told + 1].startswith("step 4/6"), "as soon as the steps are done"


def test_a_profile_over_several_calls_is_one(train):
    folder, said = train((2, 6))
    assert len(list(folder.glob("tensorboard/plugins/profile/*/*.xplane.pb"))) == 1
    assert said.count("A profile is in") == 1


def test_without_steps_there_is_none(train):
    folder, said = train(None)
    assert not (folder / "tensorboard" / "plugins").exists() and "profile" not in said

"""SIGTERM at any moment: 143, one sentence, and the same command ends as if nothing had been."""

TERMINATE = """
import os, signal
import training.evaluators.text_sample
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it

def terminate_at(owner, name, turn, number):
    real, turns = getattr(owner, name), []
    def call(*args, **kwargs):
        turns.append(name)
        if len(turns) == turn:
            os.kill(os.getpid(), number)
        return real(*args, **kwargs)
    setattr(owner, name, call)

"""
# What is called at that moment; each takes a run at most one interval further.
MOMENTS = {
    "start-up": "strategy, 'make', 1",
    "the reading of data": "training.recipes.gpt, 'fit', 1",
    "the building of the model": "run, 'learner_of', 1",
    "training, before an evaluation": "journal.Journal, 'train', 2",
    "an evaluation": "training.learners.gradient.Gradient, 'eval_step', 1",
    "a save": "checkpoints.Saver, 'save', 1",
    "what follows an evaluation": "journal.Journal, 'eval', 1",
}
BY_HAND = "the building of the model", "an evaluation"  # Control-C; the others SIGTERM


def test_a_signal_at_any_moment_ends_the_run_and_loses_nothing(
    commands, bare, undisturbed, tmp_path, same_tensors, told
):
    """One run, stopped at each moment in turn; then it ends as if nothing had been."""
    run = tmp_path / "run"
    argv = (*undisturbed.argv, f"--run-dir={run}")
    for moment, what in MOMENTS.items():
        number, status = ("SIGINT", 130) if moment in BY_HAND else ("SIGTERM", 143)
        before = f"{bare}{TERMINATE}terminate_at({what}, signal.{number})"
        ended = commands(*argv, before=before)
        assert ended.status == status, f"{moment}: {ended.output}"
        assert "Traceback" not in ended.output
        assert "he same command goes on" in ended.output.splitlines()[-1], moment
    assert [p.name for p in (run / "checkpoints").iterdir()][-1:], "something was saved"
    ended = commands(*argv, before=bare)
    assert ended.status == 0, ended.output
    ends = [d / "checkpoints" / "00000040" for d in (run, undisturbed.run_dir)]
    assert same_tensors(*ends)
    assert told(run) == told(undisturbed.run_dir)


SAMPLE = """
import os, signal
import training.evaluators.text_sample as text_sample
real = text_sample.make

def make(*args, **kwargs):
    look = real(*args, **kwargs)
    def interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        return look()
    return interrupted

text_sample.make = make
"""


def test_a_signal_while_a_sample_is_drawn_ends_the_run_after_it(
    commands, no_export, undisturbed, tmp_path, same_tensors, told
):
    run = tmp_path / "run"
    argv = (*undisturbed.argv, f"--run-dir={run}")
    for step in (20, 40):
        ended = commands(*argv, before=no_export + SAMPLE)
        assert ended.status == 143, ended.output
        assert f"Stopped by SIGTERM; step {step} is saved" in ended.output
    ended = commands(*argv, before=no_export)
    assert ended.status == 0, ended.output
    ends = [d / "checkpoints" / "00000040" for d in (run, undisturbed.run_dir)]
    assert same_tensors(*ends)
    entries = told(run)
    assert all(e.pop("sample") for e in entries if e["split"] == "eval")
    assert entries == told(undisturbed.run_dir)

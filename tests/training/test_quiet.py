"""What a command does before its first line."""

import gc
import importlib
import subprocess
import sys

import pytest

from training import quiet


def test_an_absent_package_is_absent_meanwhile_only(monkeypatch):
    monkeypatch.delitem(sys.modules, "mailbox", raising=False)
    with quiet.absent("mailbox"), pytest.raises(ImportError):
        importlib.import_module("mailbox")
    kept = importlib.import_module("mailbox")
    with quiet.absent("mailbox"):
        assert importlib.import_module("mailbox") is kept, "what is imported stays"


def test_what_is_kept_is_not_looked_at_again_and_garbage_is_collected_as_before():
    before = gc.get_freeze_count()
    with quiet.kept():
        made = [[] for _ in range(100)]
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() >= before + len(made)
    gc.disable()
    try:
        with quiet.kept():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_command_waits_for_nothing_that_keras_alone_uses_and_says_nothing():
    script = (
        "import sys; from training import quiet; quiet.import_tensorflow(); "
        "assert 'keras' in sys.modules; assert not {'matplotlib', 'sklearn'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

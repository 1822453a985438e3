"""What a command does before its first line."""

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


def test_a_command_waits_for_nothing_that_keras_alone_uses_and_says_nothing():
    script = (
        "import sys; from training import quiet; quiet.import_tensorflow(); "
        "assert 'keras' in sys.modules; assert not {'matplotlib', 'sklearn'} & {*sys.modules}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

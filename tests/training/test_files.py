"""Files that are written whole or not at all."""

import os

import pytest

from training import files
from training.config import UserError
from training.files import write_atomically


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "run.json"
    write_atomically(file, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_atomically(file, "new")
    assert file.read_text() == "old"


def test_text_and_bytes_arrive_as_they_are(tmp_path):
    for content, stored in (("é\r\n", b"\xc3\xa9\r\n"), (b"\x00\xff", b"\x00\xff")):
        write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == stored
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_lock_is_one_processes_until_it_is_closed(tmp_path, kind):
    path = tmp_path
    if kind == "file":
        path = tmp_path / "lock"
        path.touch()
    with files.locked(path, "busy") as handle:
        with pytest.raises(UserError, match="busy"), files.locked(path, "busy"):
            raise AssertionError("taken twice")
        heir = os.dup(handle)  # as a process that was started meanwhile has it
    with pytest.raises(UserError, match="busy"), files.locked(path, "busy"):
        raise AssertionError("taken while another has it")
    os.close(heir)
    with files.locked(path, "busy"):
        pass

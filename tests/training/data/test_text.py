"""Text from disk: what is read, and one sentence for each thing that cannot be."""

import os
import pathlib

import pytest

from training.data import text


def test_a_file_is_read_whatever_its_name(tmp_path):
    (tmp_path / "play.md").write_text("To be\n", encoding="utf-8")
    assert text.read(tmp_path / "play.md") == "To be\n"


def test_a_folder_is_its_txt_files_in_order_of_path(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").write_text("three", encoding="utf-8")
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    (tmp_path / "aa.TXT").write_text("two", encoding="utf-8")
    (tmp_path / "a.json").write_text("no", encoding="utf-8")
    assert text.read(tmp_path) == "one\ntwo\nthree"


def test_byte_order_marks_and_other_line_ends_go_away(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n\n")
    assert text.read(tmp_path / "x.txt") == "a\nb\nc\n\n"


def test_no_path_says_what_to_give():
    with pytest.raises(ValueError, match="--data=text needs --data-dir"):
        text.read(None)


def test_a_missing_path_names_its_nearest_neighbour(tmp_path):
    (tmp_path / "shakespeare.txt").touch()
    with pytest.raises(ValueError, match=r"does not exist\. Did you mean .*shakespeare\.txt\?"):
        text.read(tmp_path / "shakespear.txt")
    with pytest.raises(ValueError, match=r"does not exist\.$"):
        text.read(tmp_path / "zzz")
    with pytest.raises(ValueError, match=r"does not exist\. Neither does .*zzz\.$"):
        text.read(tmp_path / "zzz" / "x.txt")


def test_a_folder_without_text_says_what_it_has(tmp_path):
    with pytest.raises(ValueError, match=r"has no \.txt file, but no files"):
        text.read(tmp_path)
    (tmp_path / "x.csv").touch()
    with pytest.raises(ValueError, match=r"has no \.txt file, but 1 other file, first x\.csv"):
        text.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b" \n\t\r\n", "holds only white space")]
)
def test_files_without_words_are_refused(tmp_path, content, message):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        text.read(tmp_path / "x.txt")
    with pytest.raises(ValueError, match=message):
        text.read(tmp_path)


def test_a_file_that_is_not_utf8_is_named_with_the_place(tmp_path):
    (tmp_path / "fine.txt").write_text("fine", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9 au lait")
    with pytest.raises(ValueError, match=r"latin\.txt is not UTF-8: byte 0xe9 at offset 6"):
        text.read(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("x", encoding="utf-8")

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ValueError, match=f"Cannot read {tmp_path}: Permission denied"):
        text.read(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    file = tmp_path / "x.txt"
    file.write_text("x", encoding="utf-8")

    def refuse(self: pathlib.Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    with pytest.raises(ValueError, match=r"Cannot read .*x\.txt: Permission denied"):
        text.read(tmp_path)

"""Text from the user's disk: one file, or every .txt under a folder."""

import difflib
import os
import pathlib


def read(data_dir: pathlib.Path | None) -> str:
    """The text of a file, or of a folder's .txt files in the order of their paths.

    A byte order mark goes away, and every line ends with "\\n" alone; files are joined by "\\n".

    Raises:
        ValueError: there is no path, nothing at the path, no text in it, or it cannot be read.
    """
    if data_dir is None:
        raise ValueError(
            "--data=text needs --data-dir, a text file or a folder of .txt files; "
            "--data=docs needs nothing."
        )
    path = pathlib.Path(data_dir)
    try:
        if not path.exists():
            raise ValueError(f"--data-dir={path} does not exist.{_hint(path)}")
        files = _text_files(path) if path.is_dir() else [path]
        text = "\n".join(_read_file(file) for file in files)
    except OSError as error:
        raise ValueError(f"Cannot read {error.filename or path}: {error.strerror}.") from error
    if not text.strip():
        where = "is empty" if not text else "holds only white space"
        raise ValueError(f"--data-dir={path} {where}; a text to learn from is needed.")
    return text


def _text_files(folder: pathlib.Path) -> list[pathlib.Path]:
    def refuse(error: OSError) -> None:
        raise error

    walk = list(os.walk(folder, onerror=refuse))
    files = [pathlib.Path(top, name) for top, _, names in walk for name in names]
    texts = sorted(file for file in files if file.suffix.lower() == ".txt")
    if not texts:
        others = sorted(file.relative_to(folder) for file in files)
        plural = "s" if len(others) > 1 else ""
        found = f"{len(others)} other file{plural}, first {others[0]}" if others else "no files"
        raise ValueError(f"--data-dir={folder} has no .txt file, but {found}.")
    return texts


def _read_file(file: pathlib.Path) -> str:
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start:,}. Convert it to UTF-8 first."
        ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _hint(path: pathlib.Path) -> str:
    """The nearest name beside a path that does not exist."""
    parent = path.parent
    if not parent.is_dir():
        return f" Neither does {parent}."
    near = difflib.get_close_matches(path.name, os.listdir(parent), n=1, cutoff=0.5)
    return f" Did you mean {parent / near[0]}?" if near else ""

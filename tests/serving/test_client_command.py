"""The client's command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serving.client import command
from serving.client.command import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ask(target, capsys):
    """Runs the command on the shared server: (exit status, stdout, stderr)."""

    def ask(*arguments):
        status = main([*arguments, f"--target={target}"])
        return status, *capsys.readouterr()

    return ask


def test_predict_prints_text_as_it_is(ask):
    status, out, error = ask(
        "predict", "zoo", "--signature=upper", "text=the with", "--outputs=text"
    )
    assert (status, out, error) == (0, "text  string [1]  THE WITH\n", "")


def test_options_and_inputs_may_be_mixed(ask):
    assert ask("predict", "zoo", "x=5", "--timeout_seconds", "30", "--json")[0] == 0


def test_json_lists_make_batches_and_json_answers(ask):
    words = ["predict", "zoo", "--signature=upper", 'text=["a","b"]', "--json"]
    status, out, _ = ask(*words)
    assert status == 0
    answer = json.loads(out)
    assert answer["text"] == ["A", "B"]
    assert answer["raw_bytes"] == [{"b64": "YQ=="}, {"b64": "Yg=="}]
    assert answer["image"] == [{"b64": "Yf8="}, {"b64": "Yv8="}]
    assert json.loads(ask("predict", "zoo", "x=[[1],[2.5]]", "--json")[1])["double"] == [[2], [5]]


def test_brackets_alone_do_not_make_a_list(ask):
    out = ask("predict", "zoo", "--signature=upper", "text=[inst] a", "--outputs=text")[1]
    assert out.endswith("[INST] A\n")


def test_files_are_read(ask, tmp_path):
    (tmp_path / "t").write_bytes(b"\xff\x00")
    (tmp_path / "x").write_text("[[1], [2]]")
    words = ["predict", "zoo", "--signature=upper", f"text=@{tmp_path / 't'}"]
    assert "raw_bytes  string [1]  <2 bytes>" in ask(*words)[1]
    assert "y  float32 [2, 1]" in ask("predict", "zoo", f"x=@{tmp_path / 'x'}")[1]


def test_metadata_and_status_are_readable(ask):
    status, out, _ = ask("metadata", "zoo")
    assert status == 0
    assert out.startswith("zoo version 7\n")
    assert "  in   scale    float32 [?]  default [1.5]" in out
    facts = json.loads(ask("metadata", "zoo", "--json")[1])
    assert facts["signatures"]["serving_default"]["inputs"]["x"] == {
        "dtype": "float32",
        "shape": [None, 1],
    }
    assert ask("status", "zoo", "--wait=20") == (0, "zoo version 7  AVAILABLE\n", "")
    assert json.loads(ask("status", "zoo", "--json")[1])[0]["state"] == "AVAILABLE"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "zoo", "--signature=uper", "text=a"], "did you mean 'upper'?"),
        (["predict", "zoo", "z=1"], "no input is called 'z'"),
        (["predict", "zoo"], "missing input: x (float32 [?, 1])"),
        (["predict", "zoo", "x"], "inputs are written name=value, not 'x'"),
        (["predict", "zoo", "x=1", "x=2"], "input 'x' is given twice"),
        (["predict", "zoo", "x=one"], "takes a number, true, false or a JSON list"),
        (["predict", "zoo", "x=[1,[2]]"], "not a rectangular array"),
        (["predict", "zoo", "x=@/no/such"], "'/no/such': No such file or directory"),
        (["predict", "zoo", "--signature=check", "x=-1"], "assertion failed"),
        (["predict", "m", "x=1"], "Servable not found for request: Latest(m)"),
        (["status", "zoo", "--version=9"], "Could not find version 9 of model zoo"),
    ],
)
def test_user_errors_are_one_sentence_and_status_2(ask, arguments, sentence):
    status, out, error = ask(*arguments)
    assert (status, out) == (2, "")
    assert error.startswith("serving.client: ") and sentence in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predit", "zoo"], "invalid choice: 'predit'"),
        (["status", "zoo", "x=1"], "status takes no inputs, such as 'x=1'"),
        (["status", "zoo", "--timeout-seconds=0"], "'0' is not a number of seconds above 0"),
        (["status", "zoo", "--targt=x"], "unrecognized arguments: --targt=x"),
    ],
)
def test_wrong_command_lines_are_one_sentence_and_status_2(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert sentence in error and error.count("\n") == 1


def test_an_interrupt_leaves_no_traceback(monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run", interrupt)
    assert main(["status", "zoo"]) == 130
    assert capsys.readouterr().err == "serving.client: interrupted\n"


def test_the_command_says_it_when_no_server_answers():
    module = [sys.executable, "-m", "serving.client", "status", "m", "--target=127.0.0.1:1"]
    done = subprocess.run(module, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "serving.client: no server answers at 127.0.0.1:1 (Connection refused); "
        "is it running, and has it finished loading its model?\n"
    )

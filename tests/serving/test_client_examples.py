"""Examples, labels and reloads from the client's side, against a server in this process."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, model_management_pb2

from serving.client import Class, Client, InvalidArgument, InvalidInput, NotFound, ServedModel, wire
from serving.client.command import main
from serving.client.examples import write_input
from serving.client.reloading import request_for
from serving.server import completeness, saved_model
from serving.server.attempts import Policy
from serving.server.engine import Engine
from serving.server.model_config import ModelConfig, from_message
from serving.server.models import Models
from serving.server.services import make_server
from serving.server.versions import VersionPolicy


@pytest.fixture(scope="module")
def base(tmp_path_factory, examples_folder, version_folder, other_version_folder):
    path = tmp_path_factory.mktemp("models")
    shutil.copytree(examples_folder, path / "m" / "5")
    shutil.copytree(version_folder, path / "zoo" / "1")
    shutil.copytree(other_version_folder, path / "zoo" / "2")
    return path


@pytest.fixture(scope="module")
def target(base):
    models = Models(
        lambda name, path: saved_model.load(path), policy=Policy(), lacks=completeness.lacks
    )
    models.start([ModelConfig(name="m", base_path=base / "m", labels={"stable": 5})])
    assert models["m"].settled.wait(30)
    server = make_server(Engine(models), threads=4)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()
    models.close()


@pytest.fixture
def client(target):
    with Client(target, timeout_seconds=30) as opened:
        yield opened


EXAMPLES = [{"x": 1.0, "y": [2.0]}, {"y": np.float32([3])}, {}]


def test_classify_gives_labels_and_scores(client):
    assert client.classify("m", EXAMPLES) == [
        [Class("x", 1.0), Class("y", 2.0)],
        [Class("x", 0.0), Class("y", 3.0)],
        [Class("x", 0.0), Class("y", 0.0)],
    ]
    assert client.classify("m", [{}], signature="scores", label="stable", context={"x": 4.0}) == [
        [Class("", 4.0), Class("", 0.0)]
    ]


def test_regress_gives_one_number_each(client):
    values = client.regress("m", EXAMPLES, signature="regress", version=5, context={"x": 0.5})
    assert values.tolist() == [21.0, 30.5, 0.5]
    assert values.dtype == np.float32


def test_the_server_refuses_in_its_own_words(client):
    with pytest.raises(InvalidArgument, match="No signature was found with the name: nope"):
        client.classify("m", [{}], signature="nope")
    with pytest.raises(InvalidArgument, match="label: x"):
        client.regress("m", [{}], label="x")
    with pytest.raises(NotFound, match=r"Specific\(m, 6\)"):
        client.regress("m", [{}], version=6)


@pytest.mark.parametrize(
    ("examples", "sentence"),
    [
        ([], "at least one example"),
        ({"x": 1.0}, "not one alone"),
        ([{}, {"x": [[1.0]]}], r"example 1: feature 'x' has shape \[1, 1\]"),
        ([{"x": None}], "must be numbers or strings, not None"),
        ([{"x": ["a", 1]}], "must be numbers or strings"),
        ([{"x": []}, {"x": 2**70}], "must be numbers or strings"),
        ([{"x": np.uint64(2**63)}], "beyond 64 bits"),
    ],
)
def test_examples_that_have_no_form_are_refused(client, examples, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        client.classify("m", examples)


def test_features_are_written_as_the_official_message_reads_them():
    request = wire.ClassificationRequest()
    features = {"f": [1.5, 2], "i": [1, -2], "b": True, "s": ["é", b"\xff"], "t": "text", "e": []}
    write_input(request.input, [features], {"c": np.int32([7])})
    theirs = classification_pb2.ClassificationRequest.FromString(request.SerializeToString())
    listed = theirs.input.example_list_with_context
    found = listed.examples[0].features.feature
    assert list(found["f"].float_list.value) == [1.5, 2.0]
    assert list(found["i"].int64_list.value) == [1, -2]
    assert list(found["b"].int64_list.value) == [1]
    assert list(found["s"].bytes_list.value) == ["é".encode(), b"\xff"]
    assert list(found["t"].bytes_list.value) == [b"text"]
    assert found["e"].WhichOneof("kind") == "float_list"
    assert list(listed.context.features.feature["c"].int64_list.value) == [7]
    example = tf.train.Example.FromString(listed.examples[0].SerializeToString())
    assert set(example.features.feature) == set(features)


def test_a_reload_is_written_as_the_server_reads_it():
    models = [
        ServedModel(name="a", base_path="/a", latest=2, labels={"x": 1}),
        ServedModel(name="b", base_path="/b", versions=(1, 3)),
        ServedModel(name="c", base_path="/c", latest=None),
    ]
    theirs = model_management_pb2.ReloadConfigRequest.FromString(
        request_for(models).SerializeToString()
    )
    a, b, c = from_message(theirs.config)
    assert (a.versions, a.labels) == (VersionPolicy(latest=2), {"x": 1})
    assert b.versions == VersionPolicy(specific=frozenset({1, 3}))
    assert c.versions == VersionPolicy(latest=None)


def test_models_are_replaced_from_values_and_from_a_file(client, base, tmp_path, capsys, target):
    m = ServedModel(name="m", base_path=str(base / "m"), labels={"stable": 5})
    zoo = ServedModel(name="zoo", base_path=str(base / "zoo"), latest=None, labels={"old": 1})
    client.reload([m, zoo])
    assert client.predict("zoo", {"x": 2}, label="old")["y"].tolist() == [[3.0]]
    assert client.predict("zoo", {"x": 2})["y"].tolist() == [[4.0]]
    file = tmp_path / "models.config"
    file.write_text(
        f"model_config_list {{ config {{ name: 'm' base_path: '{base / 'm'}' "
        "model_platform: 'tensorflow' version_labels { key: 'stable' value: 5 } } }"
    )
    assert main(["reload", str(file), f"--target={target}"]) == 0
    assert capsys.readouterr().out == f"the server serves what {file} lists\n"
    with pytest.raises(NotFound):
        client.predict("zoo", {"x": 2})
    assert client.classify("m", [{}], label="stable")


def test_files_that_cannot_be_used_are_refused(client, tmp_path):
    with pytest.raises(InvalidInput, match="cannot read .*: No such file"):
        client.reload(tmp_path / "none")
    (tmp_path / "bad").write_text("model_config_list { x: 1 }")
    with pytest.raises(InvalidInput, match="is no text ModelServerConfig"):
        client.reload(tmp_path / "bad")


@pytest.mark.parametrize(
    ("words", "text", "value"),
    [
        (
            ["classify", "m", "x=0.25", "y=[2.0]", "--label=stable"],
            "0.25         x\n2            y\n",
            [{"label": "x", "score": 0.25}, {"label": "y", "score": 2.0}],
        ),
        (["regress", "m", "--signature=regress", "x=1.5"], "1.5\n", 1.5),
    ],
)
def test_the_command_classifies_and_regresses(target, capsys, words, text, value):
    assert main([*words, f"--target={target}"]) == 0
    assert capsys.readouterr().out == text
    assert main([*words, f"--target={target}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == value


def test_a_whole_number_is_no_float_feature(target, capsys):
    assert main(["classify", "m", "x=1", f"--target={target}"]) == 2
    assert "Key: x" in capsys.readouterr().err


def test_reload_takes_no_wait(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["reload", "file", "--wait=1"])
    assert caught.value.code == 2
    assert "omit --wait" in capsys.readouterr().err

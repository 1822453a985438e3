"""ModelServerConfig in text files: what it says, and what is refused."""

from pathlib import Path

import pytest

from serving.server import model_config
from serving.server.errors import Code, ServingError
from serving.server.model_config import ModelConfig
from serving.server.versions import VersionPolicy

FULL = """
model_config_list {
  config {
    name: "a"
    base_path: "/models/a"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 3 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 3 }
    logging_config { sampling_config { sampling_rate: 0.5 } }
  }
  config { name: "b" base_path: "/models/b" model_platform: "tensorflow"
           model_version_policy { latest { num_versions: 2 } } }
  config { name: "c" base_path: "/c" model_type: TENSORFLOW model_version_policy { all {} } }
  config { name: "d" base_path: "/d" model_platform: "tensorflow" }
}
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "models.config"
        file.write_text(text)
        return file

    return write


def test_a_file_lists_models_with_policies_and_labels(write):
    a, *rest = model_config.read(write(FULL))
    assert (a.name, a.base_path, a.platform) == ("a", Path("/models/a"), "tensorflow")
    assert a.versions == VersionPolicy(specific=frozenset({1, 3}))
    assert a.labels == {"stable": 1, "canary": 3}
    assert a.logging.sampling_config.sampling_rate == 0.5
    assert rest == [
        ModelConfig(name="b", base_path=Path("/models/b"), versions=VersionPolicy(latest=2)),
        ModelConfig(name="c", base_path=Path("/c"), versions=VersionPolicy(latest=None)),
        ModelConfig(name="d", base_path=Path("/d")),
    ]


def entry(rest, name="a"):
    return f'config {{ name: "{name}" {rest} }}'


GOOD = entry('base_path: "/a" model_platform: "tensorflow"')


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        (GOOD + GOOD, "Illegal to list model a multiple times in config list"),
        (
            entry('base_path: "models/a" model_platform: "tensorflow"'),
            "Expected model a to have an absolute path or URI; got base_path()=models/a",
        ),
        (entry('base_path: "/a" model_platform: "tensorflow"', name=""), "a model has no name"),
        (entry('base_path: "/a"'), "model a has no model_platform"),
        (
            entry(
                'base_path: "/a" model_platform: "tensorflow" model_version_policy {specific {}}'
            ),
            "a specific model_version_policy must name versions",
        ),
        ("config { nom: 'a' }", 'has no field named "nom"'),
        ("config {", "Invalid protobuf file: "),
    ],
)
def test_what_cannot_be_served_is_refused(write, entries, text):
    with pytest.raises(ServingError) as caught:
        model_config.read(write(f"model_config_list {{ {entries} }}"))
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert text in caught.value.message


def test_a_list_is_the_only_kind(write):
    with pytest.raises(ServingError, match="only a model_config_list"):
        model_config.read(write("custom_model_config {}"))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ServingError) as caught:
        model_config.read(tmp_path / "none")
    assert caught.value.code == Code.NOT_FOUND
    assert caught.value.message == f"{tmp_path / 'none'}; No such file or directory"
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ServingError, match="it is not text"):
        model_config.read(tmp_path / "binary")


def test_platforms_are_one_and_stay():
    old = ModelConfig(name="a", base_path=Path("/a"))
    other = ModelConfig(name="a", base_path=Path("/a"), platform="other")
    with pytest.raises(ServingError, match="Illegal to change a model's platform") as caught:
        model_config.check_platforms({"a": old}, [other])
    assert caught.value.code == Code.INVALID_ARGUMENT
    with pytest.raises(ServingError, match="has platform other; this server has tensorflow alone"):
        model_config.check_platforms({}, [other])

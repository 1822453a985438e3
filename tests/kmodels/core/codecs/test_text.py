"""Reading a codec back: what is wrong with a folder is said in one sentence."""

import subprocess
import sys

import pytest

from kmodels.core.codecs import text as text_codec


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"Cannot read .*codec\.json: No such file"),
        ("", r"codec\.json is not valid JSON"),
        ('{"codec": "cha', r"codec\.json is not valid JSON"),
        ("\udcff", r"codec\.json is not valid JSON"),
        ("[]", "names the codec None. Allowed: 'byte_pairs', 'characters'"),
        ('{"codec": "words"}', "names the codec 'words'. Allowed: 'byte_pairs', 'characters'"),
        ('{"codec": "characters"}', "'characters' are not a string"),
        ('{"codec": "characters", "characters": "ba"}', "distinct and in ascending order"),
        ('{"codec": "byte_pairs"}', r"Cannot read .*vocab\.json"),
    ],
)
def test_folders_without_a_codec_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "codec.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        text_codec.load(tmp_path)


def test_importing_the_codecs_does_not_import_keras_nlp():
    program = (
        "import sys, kmodels.core.codecs.text, kmodels.core.codecs.byte_pairs;"
        "sys.exit(bool({'keras_nlp', 'keras_hub', 'tensorflow_text'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

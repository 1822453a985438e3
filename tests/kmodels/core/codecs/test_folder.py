"""Reading a codec back: what is wrong with a folder is said in one sentence."""

import subprocess
import sys

import pytest

from kmodels.core.codecs import folder

ALLOWED = "Allowed: 'byte_pairs', 'characters', 'features', 'images'"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"Cannot read .*codec\.json: No such file"),
        ("", r"codec\.json is not valid JSON"),
        ('{"codec": "cha', r"codec\.json is not valid JSON"),
        ("\udcff", r"codec\.json is not valid JSON"),
        ("[]", f"names the codec None. {ALLOWED}"),
        ('{"codec": "words"}', f"names the codec 'words'. {ALLOWED}"),
        ('{"codec": "characters"}', "is not a codec: .*'characters'"),
        ('{"codec": "characters", "characters": 7}', "is not a codec"),
        ('{"codec": "images", "size": 8}', "is not a codec: .*'labels'"),
        ('{"codec": "features", "colour": 8}', "is not a codec: .*'colour'"),
        ('{"codec": "characters", "characters": "ba"}', "distinct and in ascending order"),
        ('{"codec": "byte_pairs"}', r"Cannot read .*vocab\.json"),
    ],
)
def test_folders_without_a_codec_are_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "codec.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        folder.load(tmp_path)


def test_importing_the_codecs_does_not_import_keras_nlp():
    program = (
        "import sys, kmodels.core.codecs.text, kmodels.core.codecs.byte_pairs;"
        "sys.exit(bool({'keras_nlp', 'keras_hub', 'tensorflow_text'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

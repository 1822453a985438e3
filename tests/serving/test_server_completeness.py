"""Which folders count as whole: real SavedModels, cut and thinned out."""

import shutil

import pytest
import tensorflow as tf

from serving.server.completeness import lacks, shard_bytes

INDEX, SHARD = "variables/variables.index", "variables/variables.data-00000-of-00001"


@pytest.fixture
def folder(tmp_path, version_folder):
    return shutil.copytree(version_folder, tmp_path / "1")


def cut(file, share=0.5):
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])


def test_whole_models_lack_nothing(folder, examples_folder):
    assert lacks(folder) == ""
    assert lacks(examples_folder) == ""


def test_a_model_without_variables_needs_no_file_of_them(tmp_path):
    path = tmp_path / "1"
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        tf.compat.v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": x + 1})
    assert not (path / INDEX).exists()
    assert lacks(path) == ""


def test_a_graph_as_text_is_left_to_the_loader(tmp_path):
    (tmp_path / "saved_model.pbtxt").touch()
    assert lacks(tmp_path) == ""


@pytest.mark.parametrize("name", ["saved_model.pb", INDEX])
def test_a_file_that_is_missing_or_cut_is_named(folder, name):
    cut(folder / name)
    assert lacks(folder) == f"{name} cannot be read to its end"
    (folder / name).unlink()
    assert lacks(folder) == f"{name} is not there"


def test_an_empty_graph_is_no_graph(folder):
    (folder / "saved_model.pb").write_bytes(b"")
    assert lacks(folder) == "saved_model.pb holds no graph"


def test_a_shard_is_as_long_as_the_index_says(folder):
    size = (folder / SHARD).stat().st_size
    assert shard_bytes((folder / INDEX).read_bytes()) == [size]
    cut(folder / SHARD)
    assert lacks(folder) == f"{SHARD} has {size // 2} of {size} bytes"
    (folder / SHARD).unlink()
    assert lacks(folder) == f"{SHARD} has 0 of {size} bytes"


def test_many_variables_in_many_shards_and_blocks(tmp_path):
    prefix = str(tmp_path / "v")
    parts = []
    for shard in range(2):
        part = f"{prefix}{shard}"
        names = [f"a/long/common/name/of/variable/{shard}/{n:05d}" for n in range(3000)]
        tf.raw_ops.SaveV2(
            prefix=part,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.fill([shard + 1], 1.0)] * len(names),
        )
        parts.append(part)
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix)
    sizes = shard_bytes((tmp_path / "v.index").read_bytes())
    assert sizes == [(tmp_path / f"v.data-0000{n}-of-00002").stat().st_size for n in range(2)]
    assert sizes == [12_000, 24_000]


def test_assets_are_there(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("a\nb\n")
    module = tf.Module()
    module.asset = tf.saved_model.Asset(str(file))
    module.read = tf.function(
        lambda: tf.io.read_file(module.asset.asset_path), input_signature=[], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"read": module.read})
    assert lacks(tmp_path / "1") == ""
    (tmp_path / "1" / "assets" / "words.txt").unlink()
    assert lacks(tmp_path / "1") == "assets/words.txt is not there"


@pytest.mark.parametrize("table", [b"", b"x" * 100, b"\0" * 48])
def test_no_table_is_no_index(table):
    with pytest.raises((ValueError, IndexError)):
        shard_bytes(table)


def test_recorded_requests_end_with_a_whole_one(folder):
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"one"), writer.write(b"and another")
    assert lacks(folder) == ""
    for share in (0.9, 0.5, 0.1):
        cut(file, share)
        assert lacks(folder) == "assets.extra/tf_serving_warmup_requests cannot be read to its end"
    file.write_bytes(b"")
    assert lacks(folder) == ""

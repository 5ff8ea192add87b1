"""Transform writes each example once, into the bucket of its key, in however many files."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tfx.proto import transform_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import proto_utils

from tfxray.components.common import contract
from tfxray.components.trainer import windows
from tfxray.components.trainer.examples import Examples
from tfxray.components.transform import buckets
from tfxray.components.transform.executor import Executor
from tfxray.components.validation import schema
from tfxray.pipeline.node_settings import PREPROCESSING

SIZE = 16
SETTINGS = {"mode": "fine_tune", "backbone": {"name": "MobileNetV2", "image_size": SIZE}}
SPLITS = transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"])


def record(number, named):
    level = np.full((SIZE, SIZE, 1), number, np.uint8)
    feature = tf.train.Example().features.feature
    feature[contract.IMAGE].bytes_list.value.append(tf.io.encode_png(level).numpy())
    feature[contract.LABEL].int64_list.value.append(number % 2)
    if named:
        feature[contract.FILENAME].bytes_list.value.append(b"%03d.png" % number)
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def transform(folder, counts, shards, named=True):
    """The folder of the transformed examples, and the graph."""
    examples, graph, contract_schema, output = (
        kind() for kind in (standard_artifacts.Examples, standard_artifacts.TransformGraph,
                            standard_artifacts.Schema, standard_artifacts.Examples)
    )  # fmt: skip
    for artifact, name in ((examples, "in"), (graph, "graph"), (contract_schema, "schema"),
                           (output, "out")):  # fmt: skip
        artifact.uri = str(folder / name)
    examples.split_names = artifact_utils.encode_split_names(list(counts))
    for split, count in counts.items():
        (folder / "in" / f"Split-{split}").mkdir(parents=True)
        records = [record(number, named) for number in range(count)]
        for shard in range(shards):
            path = folder / "in" / f"Split-{split}" / f"data_tfrecord-{shard}"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for one in reversed(records[shard::shards]):
                    writer.write(one)
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(schema.DEFAULT.read_text())
    # What a bundle left that failed, and was tried again.
    left = folder / "out" / "Split-train" / "transformed_examples-bucket-00000-of-00001-0.gz"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half of a fi")
    Executor(Executor.Context(beam_pipeline_args=["--runner=DirectRunner"])).Do(
        {"examples": [examples], "schema": [contract_schema]},
        {"transform_graph": [graph], "transformed_examples": [output]},
        {
            "preprocessing_fn": PREPROCESSING,
            "custom_config": json.dumps(SETTINGS),
            "splits_config": proto_utils.proto_to_json(SPLITS),
            "disable_statistics": 1,
            "force_tf_compat_v1": 0,
        },
    )
    assert artifact_utils.decode_split_names(output.split_names) == ["train", "eval"]
    return folder / "out", tft.TFTransformOutput(graph.uri)


def read(files, graph):
    split = Examples([str(file) for file in files], graph.transformed_feature_spec(), SIZE)
    inputs = [int(x) for batch, _ in split.plain(64) for x in batch[:, 0, 0, 0]]
    return inputs, split.labels[:, 0].tolist(), split.keys.tolist()


@pytest.mark.parametrize("named", [True, False])
def test_each_example_is_in_its_bucket_once(tmp_path, monkeypatch, named):
    size = sum(len(record(number, named)) + 16 for number in range(60))
    monkeypatch.setattr(buckets, "_INPUT_BYTES", size // 4)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    folder, graph = transform(tmp_path / "a", {"train": 60, "eval": 9}, 1, named)
    again, graph_again = transform(tmp_path / "b", {"train": 60, "eval": 9}, 3, named)
    groups = windows.group_files(map(str, (folder / "Split-train").iterdir()))
    assert len(groups) == 4
    for number, files in enumerate(groups):
        _, _, keys = read(files, graph)
        assert {key % 4 for key in keys} == {number}
    for split, count in (("train", 60), ("eval", 9)):
        inputs, labels, keys = read((folder / f"Split-{split}").iterdir(), graph)
        assert sorted(inputs) == list(range(count))
        assert labels == [level % 2 for level in inputs]
        assert inputs == list(range(count)) if named else keys == sorted(keys)
        other = read((again / f"Split-{split}").iterdir(), graph_again)
        assert other == (inputs, labels, keys)


def test_an_empty_split_is_written_too(tmp_path):
    folder, graph = transform(tmp_path, {"train": 5, "eval": 0}, 1)
    assert read((folder / "Split-eval").iterdir(), graph) == ([], [], [])
    assert len(list((folder / "Split-train").iterdir())) == 1


def test_a_large_split_has_many_buckets_but_no_more_than_can_be_open():
    assert buckets.count_buckets(0) == buckets.count_buckets(2**25 - 1) == 1
    assert buckets.count_buckets(2**25) == 2
    assert buckets.count_buckets(2**50) == 256

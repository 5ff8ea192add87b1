"""ExampleGen draws patients who share an image as one, and all others as TFX does."""

import tensorflow as tf
from tfx.components.example_gen.base_example_gen_executor import _PartitionFn
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from tfxray.components.common import contract
from tfxray.components.example_gen.executor import Executor

INPUT = example_gen_pb2.Input(
    splits=[example_gen_pb2.Input.Split(name="all", pattern="*.tfrecord")]
)
OUTPUT = example_gen_pb2.Output(
    split_config=example_gen_pb2.SplitConfig(
        splits=[
            example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=share)
            for name, share in zip(contract.SPLITS, (34, 33, 33), strict=True)
        ],
        partition_feature_name=contract.PATIENT,
    )
)


def example(name, patient, sha256, phash):
    message = tf.train.Example()
    for feature, value in (
        (contract.FILENAME, name), (contract.PATIENT, patient), (contract.SHA256, sha256),
        (contract.PHASH, phash),
    ):  # fmt: skip
        message.features.feature[feature].bytes_list.value.append(value.encode())
    return message


def draw(folder, examples):
    (folder / "in").mkdir()
    with tf.io.TFRecordWriter(str(folder / "in/a.tfrecord")) as writer:
        for one in examples:
            writer.write(one.SerializeToString())
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / "out")
    Executor(Executor.Context(beam_pipeline_args=["--runner=DirectRunner"])).Do(
        {},
        {"examples": [artifact]},
        {
            "input_base": str(folder / "in"),
            "input_config": proto_utils.proto_to_json(INPUT),
            "output_config": proto_utils.proto_to_json(OUTPUT),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
            "near_distance": 16,
        },
    )
    splits = {}
    for split in contract.SPLITS:
        paths = [str(path) for path in (folder / f"out/Split-{split}").iterdir()]
        for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            splits[features[contract.FILENAME].bytes_list.value[0].decode()] = split
    return splits


def test_what_is_alike_goes_to_one_split_and_the_rest_as_tfx_draws_it(tmp_path):
    alone = [example(f"alone{i}", f"p{i}", f"s{i}", f"{i:02x}" * 32) for i in range(1, 200)]
    # Three patients of the same film, as many of nearly the same one, and a second image of each.
    same = [example(f"same{i}", f"same{i}", "film", "f0" * 32) for i in range(3)]
    near = [example(f"near{i}", f"near{i}", f"n{i}", "0" * 62 + f"0{i}") for i in range(3)]
    also = [example(f"also{i}", f"same{i}", f"a{i}", f"e{i}" * 32) for i in range(3)]
    splits = draw(tmp_path, [*alone, *same, *near, *also])
    assert len(splits) == 199 + 9
    assert len({splits[f"{name}{i}"] for name in ("same", "also") for i in range(3)}) == 1
    assert len({splits[f"near{i}"] for i in range(3)}) == 1
    ends = [34, 67, 100]
    for one in [*alone, same[0], near[0]]:
        name = one.features.feature[contract.FILENAME].bytes_list.value[0].decode()
        place = _PartitionFn(one, 3, ends, OUTPUT.split_config)
        assert splits[name] == contract.SPLITS[place]
    assert set(splits.values()) == set(contract.SPLITS)

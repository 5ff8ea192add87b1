"""ExampleGen draws patients who share an image as one, and all others as TFX does."""

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.example_gen.base_example_gen_executor import _PartitionFn
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts
from tfx.utils import proto_utils

from tfxray.components.common import contract
from tfxray.components.example_gen import fingerprints
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


def example(name, patient, sha256, phash, **more):
    message = tf.train.Example()
    for feature, value in (
        (contract.FILENAME, name), (contract.PATIENT, patient), (contract.SHA256, sha256),
        (contract.PHASH, phash), *more.items(),
    ):  # fmt: skip
        if value is not None:
            message.features.feature[feature].bytes_list.value.append(value.encode())
    return message


def draw(folder, examples, owner=contract.PATIENT, told=contract.FILENAME):
    (folder / "in").mkdir()
    with tf.io.TFRecordWriter(str(folder / "in/a.tfrecord")) as writer:
        for one in examples:
            writer.write(one.SerializeToString())
    artifact = standard_artifacts.Examples()
    artifact.uri = str(folder / "out")
    output = example_gen_pb2.Output()
    output.CopyFrom(OUTPUT)
    output.split_config.partition_feature_name = owner
    Executor(Executor.Context(beam_pipeline_args=["--runner=DirectRunner"])).Do(
        {},
        {"examples": [artifact]},
        {
            "input_base": str(folder / "in"),
            "input_config": proto_utils.proto_to_json(INPUT),
            "output_config": proto_utils.proto_to_json(output),
            "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
            "near_distance": 16,
        },
    )
    splits = {}
    for split in contract.SPLITS:
        paths = [str(path) for path in (folder / f"out/Split-{split}").iterdir()]
        for record in tf.data.TFRecordDataset(paths).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            splits[features[told].bytes_list.value[0].decode()] = split
    return splits


@pytest.mark.parametrize("owner", [contract.PATIENT, ""])
def test_copies_of_unknown_patients_go_to_one_split_and_are_counted(tmp_path, owner):
    """Whatever is known in the place of a patient: an id of its own, or nothing."""
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(32).hex() for _ in range(60)]
    same, near, file = hashes[0], hashes[1], "not hashed"
    told = [
        *((f"same{i}", "film", same) for i in range(3)),
        *((f"near{i}", f"n{i}", near[:63] + f"{i}") for i in range(3)),
        *((f"file{i}", None, None) for i in range(3)),
        *((f"other{i}", f"s{i}", text) for i, text in enumerate(hashes[2:])),
    ]
    splits = draw(
        tmp_path,
        [
            example(
                name if owner else None,
                contract.own_patient(name) if owner == contract.PATIENT else None,
                *pixels,
                **{contract.IMAGE: file if pixels[0] is None else name, contract.SITE: name},
            )
            for name, *pixels in told
        ],
        owner,
        contract.SITE,
    )
    assert len(splits) == len(told)
    assert set(splits.values()) == set(contract.SPLITS)
    for name in ("same", "near", "file"):
        assert len({splits[f"{name}{i}"] for i in range(3)}) == 1, name
    drawn = fingerprints.read_groups(str(tmp_path / "out"))
    assert (drawn.images, drawn.drawn_as, drawn.unknown, drawn.total) == (9, 3, 9, len(told))
    assert "(9 of the images name no patient)" in drawn.describe()


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

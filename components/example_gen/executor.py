"""ExampleGen: TFX's ImportExampleGen, which writes the records as they come.

Where it draws the splits, patients who share an image, or have nearly the same one, are drawn as
one patient; an image whose patient is unknown is a patient of its own. Otherwise the model would
know an image of the test split beforehand. Beside the examples it leaves what tells whether an
image is in two splits (`fingerprints.py`), and what is known of each besides its pixels
(`shortcuts/traits.py`).

TFX's own shuffles them and compresses them by GZIP. Trainer draws its batches from the whole split,
so that nothing is won by a shuffle, for which Beam's in-memory runner keeps all images at once. And
no compression makes a JPEG or PNG smaller: it takes a third of the time to gain two per cent, and
each node that reads the examples pays again.
"""

import bisect
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components import ImportExampleGen
from tfx.components.example_gen import utils
from tfx.components.example_gen.import_example_gen import executor
from tfx.components.util import examples_utils
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import proto_utils

from tfxray.components.common import contract
from tfxray.components.example_gen import fingerprints
from tfxray.components.pixels import near, near_transforms
from tfxray.components.shortcuts import traits

_FILE = "data_tfrecord"  # what TFX calls it
_NEAR_DISTANCE = "near_distance"  # the execution property


class Executor(executor.Executor):  # type: ignore[misc]
    """See the module."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `BaseExampleGenExecutor`."""
        input_config, output_config = _configs(exec_properties)
        examples = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.EXAMPLES_KEY]
        )
        splits = utils.generate_output_split_names(input_config, output_config)
        examples.split_names = artifact_utils.encode_split_names(splits)
        with self._make_beam_pipeline() as pipeline:
            for split, records in self._split(pipeline, exec_properties, examples.uri).items():
                path = os.path.join(artifact_utils.get_split_uri([examples], split), _FILE)
                (
                    records
                    | f"Serialize[{split}]" >> beam.Map(lambda example: example.SerializeToString())
                    | f"Write[{split}]" >> beam.io.WriteToTFRecord(path)
                )
                _ = records | f"Fingerprints[{split}]" >> fingerprints.Write(examples.uri, split)
                _ = records | f"Traits[{split}]" >> traits.Write(examples.uri, split)
        payload = exec_properties[standard_component_specs.OUTPUT_DATA_FORMAT_KEY]
        examples_utils.set_payload_format(examples, payload)

    def _split(
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any], folder: str
    ) -> dict[str, beam.pvalue.PCollection]:
        """The records of each split, drawn as TFX draws them but for patients who are joined."""
        input_config, output_config = _configs(exec_properties)
        draw = output_config.split_config
        if not draw.splits:  # they are given
            return dict(self.GenerateExamplesByBeam(pipeline, exec_properties))
        owner, distance = draw.partition_feature_name, int(exec_properties[_NEAR_DISTANCE])
        read, glob = self.GetInputSourceToExamplePTransform(), input_config.splits[0].pattern
        # Read twice: what is read once and used twice, Beam's in-memory runner keeps at once.
        groups = (
            pipeline
            | "ReadToJoin" >> read(exec_properties, glob)
            | "Fingerprint" >> beam.Map(_fingerprint, owner)
            | "Join" >> near_transforms.GroupPatients(distance)
            | "Unknown" >> beam.Map(_count_unknown, owner)
        )
        _ = groups | "WriteGroups" >> beam.Map(fingerprints.write_groups, folder)
        first_patients = groups | "First" >> beam.Map(lambda groups: groups.first)
        ends: list[int] = []
        for split in draw.splits:
            ends.append(split.hash_buckets + (ends[-1] if ends else 0))
        parts = (
            pipeline
            | "Read" >> read(exec_properties, glob)
            | "Split"
            >> beam.Partition(
                _draw_split, len(ends), ends, owner, beam.pvalue.AsSingleton(first_patients)
            )
        )
        return dict(zip((split.name for split in draw.splits), parts, strict=True))


def _configs(
    exec_properties: Mapping[str, Any],
) -> tuple[example_gen_pb2.Input, example_gen_pb2.Output]:
    input_config, output_config = example_gen_pb2.Input(), example_gen_pb2.Output()
    for key, config in (
        (standard_component_specs.INPUT_CONFIG_KEY, input_config),
        (standard_component_specs.OUTPUT_CONFIG_KEY, output_config),
    ):
        proto_utils.json_to_proto(exec_properties[key], config)
    return input_config, output_config


def _fingerprint(record: tf.train.Example, owner: str) -> near.Fingerprint:
    digest = fingerprints.read_digest(record)
    phash = fingerprints.read_text(record, contract.PHASH, "latin-1")
    return near.Fingerprint(_owner_of(record, owner), digest, phash)


def _owner_of(record: tf.train.Example, owner: str) -> str:
    """Whose a record is; it is by itself where nothing tells its patient, not even a file."""
    if not owner:
        return hashlib.sha256(record.SerializeToString(deterministic=True)).hexdigest()
    # By Latin-1, what is no UTF-8 in the name of a file goes through Beam as it is.
    return fingerprints.read_text(record, owner, "latin-1")


def _count_unknown(groups: near.Groups, owner: str) -> near.Groups:
    """Groups of records that name no patient at all: all of their images are of unknown ones."""
    if owner == contract.PATIENT:
        return groups
    return dataclasses.replace(groups, unknown=groups.images)


def _draw_split(
    record: tf.train.Example,
    count: int,
    ends: Sequence[int],
    owner: str,
    first_patients: Mapping[str, str],
) -> int:
    """The place of a record's split, drawn as TFX draws it, by the first patient of a group."""
    patient = _owner_of(record, owner)
    value = first_patients.get(patient, patient).encode("latin-1")
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    digest = hashlib.sha256(feature.SerializeToString(deterministic=True)).hexdigest()
    return bisect.bisect(ends, int(digest, 16) % ends[count - 1])


class ExampleGen(ImportExampleGen):  # type: ignore[misc]
    """Takes TFRecords in, and splits them; inputs and outputs are those of ImportExampleGen."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, near_distance: int, **arguments: Any):
        """Wires it.

        Args:
            near_distance: See `near.compare`.
            **arguments: Those of ImportExampleGen.
        """
        super().__init__(**arguments)
        self.exec_properties[_NEAR_DISTANCE] = near_distance

"""ExternalTest: how the model scores the images of other hospitals, and how these images differ.

It says nothing of good or bad: Evaluator's gate does, by the scores that this node leaves.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_data_validation as tfdv
from apache_beam.utils.shared import Shared
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.utils import io_utils, path_utils
from tfx_bsl.public.tfxio import TFExampleBeamRecord

from tfxray.components.common import artifacts, contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores
from tfxray.components.evaluator.heldout_scores import ExternalScores
from tfxray.components.validation import drift, external_data
from tfxray.components.validation.statistics import count_splits
from tfxray.components.watch import feature_statistics

FILE = "set.json"  # beside the scores of a set: what else is known of it
_BATCH = 32


@component(use_beam=True)
def ExternalTest(
    model: InputArtifact[standard_artifacts.Model],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    scores: OutputArtifact[ExternalScores],
    settings: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Scores external test sets by the exported model, and measures how far they lie from training.

    Args:
        model: Trainer's.
        statistics: StatisticsGen's, of the training images.
        scores: A folder of each set; see `ExternalScores` and `site.read_sites`.
        settings: JSON: the config's `classes` or `findings`; `drift` of its `validation`;
            `measured`, the features that StatisticsGen measures; and `external`, the sets by name,
            see `external_data.ReadRows`, each with the number of `rejected` images.
        beam_pipeline: TFX's, with the options of the run.

    Raises:
        RuntimeError: The records of a set are gone.
    """
    config = json.loads(settings)
    task, external = Task.of(config), config["external"]
    folders = {name: os.path.join(scores.uri, name) for name in external}
    folder = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
    scratch = {name: os.path.join(place, ".scores") for name, place in folders.items()}
    with beam_pipeline as pipeline:
        for name, of_set in external.items():
            # Read twice: what is read once and used twice, Beam's in-memory runner keeps at once.
            for_scores, for_statistics = (
                pipeline | f"Read{use}[{name}]" >> external_data.ReadRecords(of_set)
                for use in ("Scores", "Statistics")
            )
            path = os.path.join(scratch[name], "part")
            _ = for_scores | f"Score[{name}]" >> _WriteScores(folder, task, path)
            _ = for_statistics | f"Measure[{name}]" >> _WriteStatistics(
                os.path.join(folders[name], "Split-train"), config["measured"]
            )
    for name, place in folders.items():
        parts = [os.path.join(scratch[name], part) for part in artifacts.list_folder(scratch[name])]
        heldout_scores.gather_parts(parts, place, task)
        fileio.rmtree(scratch[name])
        frame = heldout_scores.read_scores(place)
        if frame is None or frame.empty:
            raise RuntimeError(f"external test set {name}: its records are gone")
        note = {
            "rejected": external[name]["rejected"],
            "drift": _describe_drift(place, statistics.uri, config["drift"], task),
        }
        io_utils.write_string_file(os.path.join(place, FILE), json.dumps(note, indent=1))


class _WriteScores(beam.PTransform):  # type: ignore[misc]
    """Records to rows of `heldout_scores`, in parts."""

    def __init__(self, model: str, task: Task, path: str):
        super().__init__()
        self._model, self._task, self._path = model, task, path

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """See `beam.PTransform`."""
        return (
            records
            | beam.BatchElements(min_batch_size=_BATCH, max_batch_size=_BATCH)
            | beam.ParDo(_Score(self._model, self._task))
            | beam.io.WriteToParquet(
                self._path, heldout_scores.make_schema(self._task), codec=heldout_scores.CODEC
            )
        )


class _Score(beam.DoFn):  # type: ignore[misc]
    """Batches of records to rows, by the signature that clients of the served model call."""

    def __init__(self, model: str, task: Task):
        self._folder, self._task = model, task
        self._shared = Shared()  # one model for all threads of a process

    def setup(self) -> None:
        """See `beam.DoFn`."""
        self._model = self._shared.acquire(lambda: tf.saved_model.load(self._folder))

    def process(self, batch: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        """See `beam.DoFn`."""
        outputs = self._model.signatures[contract.SIGNATURE_EXAMPLES](examples=tf.constant(batch))
        score = contract.SCORE if self._task.binary else contract.SCORES
        columns = {n: outputs[n].numpy() for n in (score, contract.DISTANCE, contract.UNLIKE)}
        for place, record in enumerate(batch):
            predictions = {name: values[place] for name, values in columns.items()}
            yield heldout_scores.make_row(_features(record), predictions, self._task)


def _features(record: bytes) -> Mapping[str, np.ndarray]:
    """A record's values by the names of its features."""
    features = tf.train.Example.FromString(record).features.feature
    kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
    # As objects: numpy's own texts lose zeros at their end.
    return {
        name: np.array(getattr(features[name], kind).value, object)
        for name, kind in kinds.items()
        if kind
    }


class _WriteStatistics(beam.PTransform):  # type: ignore[misc]
    """Records to statistics, measured as StatisticsGen measures those of the run's data."""

    def __init__(self, folder: str, measured: Sequence[str]):
        super().__init__()
        self._folder, self._measured = folder, list(measured)

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """See `beam.PTransform`."""
        options = tfdv.StatsOptions(
            feature_allowlist=self._measured,
            num_histogram_buckets=feature_statistics.HISTOGRAM_BUCKETS,
        )
        reader = TFExampleBeamRecord(
            physical_format="tfrecord", telemetry_descriptors=["tfxray", "ExternalTest"]
        )
        return (
            records
            | beam.Map(_without_image)
            | "Read" >> reader.BeamSource()
            | tfdv.GenerateStatistics(options)
            | tfdv.WriteStatisticsToBinaryFile(os.path.join(self._folder, "FeatureStats.pb"))
        )


def _without_image(record: bytes) -> bytes:
    """Its pixels are of no use to TFDV, and all of its cost."""
    example = tf.train.Example.FromString(record)
    example.features.feature.pop(contract.IMAGE, None)
    return bytes(example.SerializeToString())


def _describe_drift(
    folder: str, statistics: str, limits: Mapping[str, float | None], task: Task
) -> list[str]:
    """The features that lie further from the training images' than they may, in words.

    What one side alone tells is not compared.
    """
    thresholds = {name: value for name, value in limits.items() if value is not None}
    sizes = [count_splits(uri)["train"] for uri in (folder, statistics)]
    patients = [size.patients or size.images for size in sizes]
    share = thresholds.get(contract.TEXT)
    if not task.exclusive:
        thresholds.pop(contract.TEXT, None)
    measured = drift.measure(folder, statistics, thresholds)
    texts = [str(feature) for feature in drift.find_drifted(measured, thresholds, *patients)]
    if share is not None:
        texts += drift.find_drifted_findings((folder, statistics), task, share, patients)
    return texts

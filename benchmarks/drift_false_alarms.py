"""How often does DataGate cry drift where there is none?

Draws pairs of samples, by patient, from one source, measures them as the pipeline does (TFDV's
statistics and comparators) and compares them with the default thresholds.

    python benchmarks/drift_false_alarms.py [RECORDS ...]

RECORDS are TFRecords by the data contract; without them, X-rays are drawn. Prints the table that
stands in benchmarks/DRIFT.md.
"""

import glob
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl

from tfxray.components.common import artifacts, contract
from tfxray.components.ingest import job
from tfxray.components.sample import draw
from tfxray.components.source import labelling
from tfxray.components.validation import drift
from tfxray.components.watch import feature_statistics
from tfxray.pipeline.config.data import DRIFT

DRAWS = 200
SIZES = (200, 1000, 5000)
THRESHOLDS = {name: value for name, value in DRIFT.items() if value is not None}


def draw_records() -> list[str]:
    """Draws 10,500 X-rays at 96 pixels."""
    folder = Path(tempfile.mkdtemp())
    draw.write_sample(folder / "images", images=10_500, size=96, seed=5)
    job.ingest(folder / "images", folder / "records", labelling.Rules())
    return glob.glob(f"{folder}/records/*.tfrecord")


def read_patients(files: list[str]) -> list[dict[str, list[dict[str, object]]]]:
    """One entry per patient: its images' features."""
    patients = defaultdict(list)
    for record in artifacts.record_dataset(sorted(files)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        row = {}
        for name in THRESHOLDS:
            kind = features[name].WhichOneof("kind")
            row[name] = list(getattr(features[name], kind).value) if kind else None
        patients[features[contract.PATIENT].bytes_list.value[0]].append(row)
    return list(patients.values())


def take_patients(
    patients: list, order: np.ndarray, images: int
) -> tuple[pa.RecordBatch, int, int]:
    """The first patients of an order that make up so many images; their number, and the rest."""
    rows: list = []
    count = 0
    for index in order:
        if len(rows) >= images:
            break
        rows += patients[index]
        count += 1
    present = [n for n in THRESHOLDS if any(row[n] is not None for row in rows)]
    columns = [pa.array([row[name] for row in rows]) for name in present]
    return pa.RecordBatch.from_arrays(columns, present), count


def compare_samples(a: pa.RecordBatch, b: pa.RecordBatch):
    """What DistributionValidator measures."""
    options = tfdv.StatsOptions(num_histogram_buckets=feature_statistics.HISTOGRAM_BUCKETS)
    baseline = stats_impl.generate_statistics_in_memory(a, options)
    current = stats_impl.generate_statistics_in_memory(b, options)
    schema = tfdv.infer_schema(baseline)
    for feature in drift.validator_config(THRESHOLDS).default_slice_config.feature:
        name = feature.path.step[0]
        if name in a.schema.names:
            comparator = tfdv.get_feature(schema, name).drift_comparator
            comparator.CopyFrom(feature.distribution_comparator)
    return tfdv.validate_statistics(current, schema, previous_statistics=baseline)


def main() -> None:
    """Prints the table."""
    patients = read_patients(sys.argv[1:] or draw_records())
    total = sum(len(p) for p in patients)
    print(f"{total} images of {len(patients)} patients; {DRAWS} draws\n")
    print("| images a side | patients a side | false alarms | by feature | without allowance |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for size in SIZES:
        size = min(size, total // 2 - 10)
        alarms, plain_alarms, by_feature, sides = 0, 0, defaultdict(int), []
        for _ in range(DRAWS):
            order = rng.permutation(len(patients))
            a, n = take_patients(patients, order, size)
            b, m = take_patients(patients, order[n:], size)
            anomalies = compare_samples(a, b)
            features = drift.find_drifted(anomalies, THRESHOLDS, n, m)
            alarms += bool(features)
            plain_alarms += bool(drift.find_drifted(anomalies, THRESHOLDS, 10**9, 10**9))
            for feature in features:
                by_feature[feature.feature] += 1
            sides.append(n)
        by_feature_text = (
            ", ".join(f"{name} {count}" for name, count in sorted(by_feature.items())) or "none"
        )
        print(
            f"| {size} | {np.mean(sides):.0f} | {alarms / DRAWS:.1%} | {by_feature_text} "
            f"| {plain_alarms / DRAWS:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

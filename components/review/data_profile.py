"""Whose the data is, what it looks like, and how far it lies from the last blessed run's."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import tensorflow_data_validation as tfdv
from markupsafe import Markup
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.dsl.io import fileio

from tfxray.components.common import contract
from tfxray.components.guard.rejects import REASONS
from tfxray.components.listing import left_out
from tfxray.components.review.evidence import Evidence
from tfxray.components.text import escape
from tfxray.components.validation import drift, schema, statistics

_CATEGORIES = (contract.SITE, contract.SEX, contract.VIEW)
_NUMBERS = (
    contract.AGE,
    contract.MEAN,
    contract.STD,
    contract.SHARPNESS,
    contract.WIDTH,
    contract.HEIGHT,
)
_MOST = 20  # values of a category that are listed
# What is told of a public data set, besides its title and what its reader leaves out.
_FACTS = {
    "licence": "Licence", "citation": "Citation", "address": "Address", "size": "The whole set",
    "official": "Official split",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Count:
    """Why files of the input are no examples, and how many they are.

    Attributes:
        name: As `ingest.json` has it, and `rejects.csv`.
        words: The same in plain words; empty for a name of another version.
        files: How many.
    """

    name: str
    words: str
    files: int


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the data comes from, and where all files of this copy went.

    Attributes:
        title: Of a public data set; else empty.
        facts: What is to be known of it, by heading.
        link: Its address where that is one of the web; else empty.
        reader: What its reader leaves out, and why, a line each.
        found: All files of the input.
        written: The images that became examples.
        rejected: The images that could not be used, by reason.
        left_out: The files that are none of the images, by rule.
    """

    title: str
    facts: dict[str, str]
    link: Markup
    reader: list[str]
    found: int
    written: int
    rejected: list[Count]
    left_out: list[Count]


@dataclasses.dataclass(frozen=True)
class Number:
    """A number's distribution in a split."""

    feature: str
    split: str
    missing: int
    mean: float
    deviation: float
    least: float
    median: float
    most: float


@dataclasses.dataclass(frozen=True)
class Category:
    """How many images have each value of a category: by value, then by split."""

    feature: str
    values: dict[str, dict[str, int]]
    more_values: int


@dataclasses.dataclass(frozen=True)
class Drift:
    """How far a feature lies from the last blessed run's.

    Attributes:
        feature: Its name.
        kind: The distance's.
        value: The distance; None where the two cannot be compared.
        limit: The most allowed, for as many patients as there are.
    """

    feature: str
    kind: str
    value: float | None
    limit: float


def read_origin(ingest: Mapping[str, Any]) -> Origin | None:
    """Where the data comes from.

    Args:
        ingest: As the run's summary has it.

    Returns:
        None where there is nothing to tell: no public data set, and no file that was not used.
    """
    dataset = ingest.get("dataset") or {}
    reasons, rules = ingest.get("reasons") or {}, ingest.get("left_out") or {}
    if not (dataset or reasons or rules):
        return None
    facts = {heading: str(dataset.get(key) or "") for key, heading in _FACTS.items()}
    if dataset and not facts[_FACTS["official"]]:
        facts[_FACTS["official"]] = "none: the patients are drawn"
    address = facts[_FACTS["address"]]
    return Origin(
        title=str(dataset.get("title") or ""),
        facts={heading: text for heading, text in facts.items() if text},
        link=Markup(escape.link_address(address)),
        reader=[str(line) for line in dataset.get("left_out") or ()],
        found=ingest["found"],
        written=ingest["images"] - ingest["rejected"],
        rejected=_counts(reasons, REASONS),
        left_out=_counts(rules, left_out.MEANINGS),
    )


def tell_unknown_patients(evidence: Evidence) -> str:
    """How many images name no patient, and what follows; empty where all do, or nobody counted."""
    unknown = (evidence.summary.get("ingest") or {}).get("without_patient")
    if not unknown:
        return ""
    total = sum(count.images for count in evidence.counts.values())
    who = f"{unknown} of {total} images name" if total else f"{unknown} images name"
    return (
        f"{who} no patient: each of them counts as a patient. A patient may be in two splits, and "
        "intervals may be too narrow."
    )


def _counts(files: Mapping[str, int], words: Mapping[str, str]) -> list[Count]:
    """The counts, the greatest first."""
    order = sorted(files, key=lambda name: (-files[name], name))
    return [Count(name, words.get(name, ""), files[name]) for name in order]


def read_numbers(evidence: Evidence) -> list[Number]:
    """The numbers that the data holds, by feature and split."""
    rows = []
    for split, (total, features) in _statistics(evidence).items():
        for name in _NUMBERS:
            feature = features.get(name)
            if feature and feature.num_stats.common_stats.num_non_missing:
                s = feature.num_stats
                missing = total - s.common_stats.num_non_missing
                row = Number(name, split, missing, s.mean, s.std_dev, s.min, s.median, s.max)
                rows.append(row)
    return sorted(rows, key=lambda n: (_NUMBERS.index(n.feature), contract.SPLITS.index(n.split)))


def read_categories(evidence: Evidence) -> list[Category]:
    """The categories that the data holds."""
    splits = _statistics(evidence)
    rows = []
    for name in _CATEGORIES:
        values: dict[str, dict[str, int]] = {}
        for split, (_, features) in splits.items():
            if name in features:
                for bucket in features[name].string_stats.rank_histogram.buckets:
                    values.setdefault(bucket.label, {})[split] = int(bucket.sample_count)
        if values:
            order = sorted(values, key=lambda value: (-sum(values[value].values()), value))
            most_frequent = {value: values[value] for value in order[:_MOST]}
            rows.append(Category(name, most_frequent, len(values) - len(most_frequent)))
    return rows


def read_drifts(evidence: Evidence) -> list[Drift] | None:
    """How far each feature lies off, the nearest to its limit first.

    Returns:
        None where there was no blessed run to compare with.
    """
    uris = evidence.uris
    folder, baseline = (
        uris.get("DistributionValidator.anomalies"),
        uris.get("BaselineStatistics.statistics"),
    )
    if not folder or not baseline or "train" not in evidence.counts:
        return None
    thresholds = evidence.config.get("validation", {}).get("drift", {})
    patients, baseline_patients = (
        _patients(evidence.counts),
        _patients(statistics.count_splits(baseline)),
    )
    other = drift.of_other_bins(uris["StatisticsGen.statistics"], baseline)
    rows = []
    for info in drift.read_measurements(folder).drift_skew_info:
        name = ".".join(info.path.step)
        threshold = thresholds.get(name)
        for measurement in info.drift_measurements if threshold is not None else ():
            kind = "L-infinity" if contract.FEATURES[name] is bytes else "Jensen-Shannon"
            value = None if name in other else measurement.value
            rows.append(
                Drift(name, kind, value, drift.limit(name, threshold, patients, baseline_patients))
            )
    # A distance that could not be measured comes last.
    return sorted(rows, key=lambda d: d.limit - d.value if d.value is not None else math.inf)


def find_differences(uris: Mapping[str, str]) -> list[schema.Difference]:
    """How what SchemaGen inferred differs from the curated schema, as the run had it."""
    if "SchemaGen.schema" not in uris or "CuratedSchema.schema" not in uris:
        return []
    curated, inferred = (
        schema.read_schema(os.path.join(uris[f"{node}.schema"], "schema.pbtxt"))
        for node in ("CuratedSchema", "SchemaGen")
    )
    return schema.find_differences(curated, inferred)


def _patients(counts: Mapping[str, statistics.SplitCounts]) -> int:
    size = counts.get("train")
    return (size.patients or size.images) if size else 0


def _statistics(
    evidence: Evidence,
) -> dict[str, tuple[int, dict[str, statistics_pb2.FeatureNameStatistics]]]:
    """By split, how many examples it holds and the statistics of each feature."""
    folder = evidence.uris.get("StatisticsGen.statistics")
    splits = {}
    for split in contract.SPLITS if folder else ():
        path = os.path.join(str(folder), f"Split-{split}", "FeatureStats.pb")
        if fileio.exists(path):
            for dataset in tfdv.load_stats_binary(path).datasets[:1]:
                features = {f.name or ".".join(f.path.step): f for f in dataset.features}
                splits[split] = (dataset.num_examples, features)
    return splits

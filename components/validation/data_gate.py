"""DataGate: stops the run before Transform when the data cannot be trusted."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types import artifact, standard_artifacts
from tfx.utils import io_utils

from tfxray.components.common import artifacts, contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import DataRejected, UserError
from tfxray.components.example_gen import fingerprints
from tfxray.components.pixels import near
from tfxray.components.shortcuts import shortcut_report
from tfxray.components.shortcuts.association import Association
from tfxray.components.validation import external_data, leakage
from tfxray.components.validation.drift import (
    find_drifted,
    find_drifted_findings,
    of_other_bins,
    read_measurements,
)
from tfxray.components.validation.statistics import SplitCounts, count_splits, read_anomalies

VERDICT = "verdict.json"
_NEW_COLUMN = "New column"
# True of a second run over the same data, too, which gets this verdict from the cache.
_NO_BASELINE = "no blessed run over other data to compare with: drift is not checked"


class DataVerdict(artifact.Artifact):
    """DataGate's verdict, with its issues: `verdict.json`."""

    TYPE_NAME = "tfxray.DataVerdict"  # with a namespace, as Vertex asks for


@dataclasses.dataclass(frozen=True)
class DataIssue:
    """One thing that is wrong with the data.

    Attributes:
        kind: `rejects`, `image_notes`, `patients`, `identical`, `near_identical`, `drift`,
            `shortcut` or `anomalies`.
        action: `fail` or `warn`, as the config has it; `note` for what is no reason for either.
        message: What is wrong.
        items: The first of those concerned.
        total: How many are concerned.
        pairs: Of leakage, the first images that are alike; see `leakage.Leaks`.
    """

    kind: str
    action: str
    message: str
    items: list[str]
    total: int
    pairs: Sequence[leakage.Pair] = ()


@component(use_beam=True)
def DataGate(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    verdict: OutputArtifact[DataVerdict],
    settings: Parameter[str],
    drift: InputArtifact[standard_artifacts.ExampleAnomalies] = None,
    baseline: InputArtifact[standard_artifacts.ExampleStatistics] = None,
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Gives the verdict on the data.

    Args:
        examples: ExampleGen's.
        statistics: StatisticsGen's.
        anomalies: ExampleValidator's.
        verdict: The data issues.
        settings: JSON: the config's `validation`, and its `classes` or `findings`; `drawn`, whether
            ExampleGen drew the splits; `ingest`, the content of `ingest.json`, where there was an
            ingest; and `external`, the external test sets, see `external_data.ReadRows`, each with
            its own `ingest`.
        drift: DistributionValidator's, where the engine has one.
        baseline: The statistics of the latest blessed run.
        beam_pipeline: TFX's, with the options of the run.

    Raises:
        UserError: A split that lacks a class: there is too little data.
        DataRejected: A data issue whose action is `fail`.
    """
    config = json.loads(settings)
    _require_labels(count_splits(statistics.uri, Task.of(config)), Task.of(config))
    gate = config["gate"]
    scratch = os.path.join(verdict.uri, ".leaks")
    leaks = _find_leaks(beam_pipeline, examples.uri, config, scratch)
    associations = (
        shortcut_report.find_associations(examples.uri, Task.of(config), config["shortcut_auc"])
        if gate["shortcut"] != "off"
        else []
    )
    shortcut_report.write_found(associations, verdict.uri)
    # Most telling first.
    issues = [
        *_rejects(config["ingest"], config["max_rejected"], gate["rejects"]),
        *_image_notes(config["ingest"]),
        *_leaks(leaks, gate, config["drawn"], _groups(examples.uri, config["ingest"])),
        *_external(leaks, config),
        *(
            _drift(drift.uri, statistics.uri, baseline.uri, config)
            if drift and baseline
            else [DataIssue("drift", "note", _NO_BASELINE, [], 0)]
        ),
        *_shortcuts(associations, gate["shortcut"]),
        *_anomalies(anomalies.uri, gate["anomalies"]),
    ]
    text = json.dumps([dataclasses.asdict(issue) for issue in issues], indent=1)
    io_utils.write_string_file(os.path.join(verdict.uri, VERDICT), text)
    failures = [issue.message for issue in issues if issue.action == "fail"]
    if failures:
        raise DataRejected("; ".join(failures), text)


def _require_labels(counts: Mapping[str, SplitCounts], task: Task) -> None:
    for split in contract.SPLITS:
        size = counts.get(split, SplitCounts(0, None, {}))
        labels = [size.labels.get(name, (0, 0)) for name in task.judged]
        if task.binary and not all(labels[0]):
            positives, negatives = labels[0]
            raise UserError(
                f"the {split} split holds {negatives} images of the first and {positives} of the "
                "second class; it needs both. More patients are needed, or other shares in `split`"
            )
        lacking = [name for name, pair in zip(task.judged, labels, strict=True) if not all(pair)]
        if lacking and (split == "train" or len(lacking) == len(labels)):
            told = [
                f"{what} {', '.join(names)}"
                for place, what in enumerate(("no image without", "no image with"))
                if (names := [n for n in lacking if not labels[task.index(n)][1 - place]])
            ]
            raise UserError(
                f"the {split} split holds {' and '.join(told)}. More patients are needed, or other "
                "shares in `split`; or take the finding out of the config"
            )


def _rejects(report: Mapping[str, Any] | None, most: float, action: str) -> Iterator[DataIssue]:
    if not report or not report["rejected"]:
        return
    share = report["rejected"] / report["images"]
    if share > most:
        message = (
            f"{report['rejected']} of {report['images']} images were rejected, {share:.1%}; at "
            f"most {most:.1%} are allowed (validation.max_rejected)"
        )
        reasons = [f"{code}: {count}" for code, count in sorted(report["reasons"].items())]
        yield DataIssue("rejects", action, message, reasons, report["rejected"])


def _image_notes(report: Mapping[str, Any] | None) -> Iterator[DataIssue]:
    notes = report["image_notes"] if report else {}
    if notes:
        texts = [
            f"{note} ({entry['count']} images, such as {entry['names'][0]})"
            for note, entry in notes.items()
        ]
        items = [f"{note}: {name}" for note, entry in notes.items() for name in entry["names"]]
        message = f"odd images, used all the same: {'; '.join(texts)}"
        total = sum(entry["count"] for entry in notes.values())
        yield DataIssue("image_notes", "note", message, items, total)


def _find_leaks(
    beam_pipeline: beam.Pipeline, examples: str, config: Mapping[str, Any], scratch: str
) -> dict[str, leakage.Leaks]:
    """What is in two splits, by kind; of external sets, by `external_data.KIND`.

    Args:
        beam_pipeline: Not run yet.
        examples: The folder.
        config: DataGate's settings.
        scratch: A folder in which Beam's workers can write, wherever they run. It is removed.
    """
    distance, external = config["near_distance"], config["external"]
    names = {"{}": "leaks.json"} | ({external_data.KIND: "external.json"} if external else {})
    paths = {kind: os.path.join(scratch, name) for kind, name in names.items()}
    with beam_pipeline as pipeline:
        leaks = pipeline | leakage.FindLeaks(fingerprints.Read(examples), distance)
        _ = leaks | "Write" >> beam.Map(_write_json, paths["{}"])
        if external:
            rows = external_data.ReadRows(examples, external)
            leaks = pipeline | "External" >> leakage.FindLeaks(rows, distance, external_data.PLACES)
            _ = leaks | "WriteExternal" >> beam.Map(_write_json, paths[external_data.KIND])
    found = {
        name.format(kind): leakage.Leaks(*leaks)
        for name, path in paths.items()
        for kind, leaks in json.loads(io_utils.read_string_file(path)).items()
    }
    fileio.rmtree(scratch)
    return found


def _write_json(content: Any, path: str) -> None:
    artifacts.write_text(path, json.dumps(content))


_AGAIN = "or set split.ignore_given to draw the splits anew, where these go to one split"
_REMEDIES = {
    "patients": f"Put all images of a patient into one split, {_AGAIN}. If one id stands for many "
    "patients, tell them apart by ingest.pattern or by the column `patient` of a manifest",
    "identical": f"Leave one of each, {_AGAIN}",
    "near_identical": f"Leave one of each, {_AGAIN}; or lower validation.near_distance, if they "
    "are not the same X-rays",
}


_MESSAGES = {
    "patients": "leakage: {} patients are in two splits, such as {}. {}",
    "identical": "leakage: {} images are in two splits, pixel for pixel, such as {}. {}",
    "near_identical": "{} pairs of nearly identical images are in two splits, such as {}. {}",
}


def _groups(examples: str, report: Mapping[str, Any] | None) -> near.Drawn | None:
    """What was drawn together: by ExampleGen, or by an ingest for `eval`; None if all is given."""
    told = (report or {}).get("drawn_together")
    return near.Drawn(**told) if told else fingerprints.read_groups(examples)


def _leaks(
    found: Mapping[str, leakage.Leaks],
    gate: Mapping[str, str],
    drawn: bool,
    groups: near.Drawn | None,
) -> Iterator[DataIssue]:
    remedies = _REMEDIES
    if groups and (drawn or groups.too_large):  # by us; else by who gave the splits
        remedies = dict.fromkeys(_REMEDIES, _why_drawn_apart(groups))
    for kind, message in _MESSAGES.items():
        if leaks := found.get(kind):
            action = gate["near_identical" if kind == "near_identical" else "leakage"]
            text = message.format(leaks.total, leaks.texts[0], remedies[kind])
            yield DataIssue(kind, action, text, leaks.texts, leaks.total, leaks.pairs)
    if groups and (text := groups.describe()):
        yield DataIssue("near_identical", "note", text, [], groups.images)


def _external(found: Mapping[str, leakage.Leaks], config: Mapping[str, Any]) -> Iterator[DataIssue]:
    gate = config["gate"]
    for name, external in config["external"].items():
        report = external["ingest"]
        for issue in (
            *_rejects(report, config["max_rejected"], gate["rejects"]), *_image_notes(report)
        ):  # fmt: skip
            message = f"external test set {name}: {issue.message}"
            yield dataclasses.replace(issue, message=message)
    for kind, message in external_data.MESSAGES.items():
        if leaks := found.get(external_data.KIND.format(kind)):
            action = gate["near_identical" if kind == "near_identical" else "leakage"]
            text = message.format(leaks.total, leaks.texts[0])
            yield DataIssue(kind, action, text, leaks.texts, leaks.total)


def _why_drawn_apart(groups: near.Drawn) -> str:
    sizes = ", ".join(map(str, groups.too_large[-3:]))
    return (
        f"Patients who share an image are drawn as one, but not where one group would hold {sizes} "
        f"images of {groups.total}. Take repeated images out; or lower validation.near_distance, "
        "if they are not the same X-rays"
    )


def _drift(
    folder: str, statistics: str, baseline: str, config: Mapping[str, Any]
) -> Iterator[DataIssue]:
    sizes = [count_splits(uri)["train"] for uri in (statistics, baseline)]
    patients = [size.patients or size.images for size in sizes]
    thresholds = {name: value for name, value in config["drift"].items() if value is not None}
    incomparable = [n for n in of_other_bins(statistics, baseline) if n in thresholds]
    if incomparable:
        message = (
            "the latest blessed run was made by another version of tfxray, with other histograms: "
            f"the drift of numbers ({', '.join(incomparable)}) is not known"
        )
        yield DataIssue("drift", "warn", message, incomparable, len(incomparable))
        thresholds = {name: value for name, value in thresholds.items() if name not in incomparable}
    features = find_drifted(read_measurements(folder), thresholds, *patients)
    texts = [str(feature) for feature in features]
    if (share := config["drift"].get(contract.TEXT)) is not None:
        texts += find_drifted_findings((statistics, baseline), Task.of(config), share, patients)
    if texts:
        message = f"drift against the latest blessed run: {'; '.join(texts)}"
        yield DataIssue("drift", config["gate"]["drift"], message, texts, len(texts))


def _shortcuts(found: Sequence[Association], action: str) -> Iterator[DataIssue]:
    if beyond := [one for one in found if one.beyond]:
        texts = [shortcut_report.describe(one) for one in beyond]
        yield DataIssue("shortcut", action, shortcut_report.tell_all(beyond), texts, len(texts))


def _anomalies(folder: str, action: str) -> Iterator[DataIssue]:
    anomalies = read_anomalies(folder)
    for new in (False, True):
        group = [a for a in anomalies if a.short.startswith(_NEW_COLUMN) == new]
        if group:
            texts = [f"{a.split}, {a.feature}: {a.description}" for a in group]
            what = "features are not in the schema" if new else "anomalies against the schema"
            message = f"{len(group)} {what}: {texts[0]}"
            # A column that nobody reads does no harm.
            yield DataIssue("anomalies", "warn" if new else action, message, texts, len(group))

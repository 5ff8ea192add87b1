"""What a run leaves behind for its page, made up: with names that would break a careless page."""

import dataclasses
import io
import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import tensorflow as tf
from PIL import Image

from tfxray.components.common import beam_options, contract, filenames
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores, pictures
from tfxray.components.metrics import intervals
from tfxray.components.networks import summary
from tfxray.components.shortcuts import association, probe, shortcut_report, strata
from tfxray.pipeline.config.config import Config

TAG = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(1)</script>"
CLASSES = [f"fine {TAG}", f"ill {SCRIPT}"]
SITES = [f"north {TAG}", f"south {SCRIPT}", "tiny"]
FILES = [f"{TAG}.png", f"{SCRIPT}.png"]
SECRET = "PATIENT-SECRET"
THRESHOLD = 0.432101
THRESHOLDS = {CLASSES[1]: THRESHOLD}
# What became of the input, as a summary has it; of a public data set, all that is told may lie.
INGEST = {
    "found": 150,
    "images": 125,
    "rejected": 5,
    "reasons": {"truncated": 2, "no_label": 3},
    "left_out": {"other_kind": 4, "other_view": 21},
}
HOSTILE_DATASET = {
    key: f"{key} {TAG} [a](javascript:alert(1)) {SCRIPT} \x1b[31m\u202e | x\n# y"
    for key in ("title", "licence", "citation", "address", "size", "official")
}


def table(patients: int = 60) -> pd.DataFrame:
    """Scores of two images per patient; of the last site there are three patients."""
    random = np.random.default_rng(3)
    label = np.repeat(random.integers(0, 2, patients), 2)
    size = len(label)
    score = 1 / (1 + np.exp(-random.normal(2.2 * label - 1.1, 1.4)))
    score[:2] = THRESHOLD - 1e-6, THRESHOLD + 1e-6  # five digits would move one of them across
    site = np.repeat([SITES[i % 2] for i in range(patients)], 2)
    site[-6:] = SITES[2]
    label[-6:] = 1
    return pd.DataFrame(
        {
            contract.FILENAME: [*FILES, *(f"{i}.png" for i in range(2, size))],
            contract.PATIENT: [f"{SECRET}-{i // 2}" for i in range(size)],
            heldout_scores.DIGEST: [heldout_scores.digest_image(png(i)) for i in range(size)],
            contract.LABEL: label,
            contract.SCORE: score,
            contract.DISTANCE: random.random(size),
            contract.UNLIKE: (np.arange(size) % 9 == 0).astype(int),
            contract.AGE: np.repeat(random.integers(20, 60, patients), 2).astype(float),
            contract.SITE: site,
        }
    )


def table_of_several(task: Task, patients: int = 60) -> pd.DataFrame:
    """Scores of several classes, or of findings of which some labels are unknown."""
    frame, random = table(patients), np.random.default_rng(4)
    size = len(frame)
    chosen = np.repeat(random.integers(0, len(task.names), patients), 2)
    present = np.repeat(random.random((patients, len(task.names))) < 0.4, 2, axis=0)
    labels = np.eye(len(task.names), dtype=int)[chosen] if task.exclusive else present.astype(int)
    logits = 2.2 * labels - 1.1 + random.normal(0, 1.4, labels.shape)
    scores = 1 / (1 + np.exp(-logits))
    if task.exclusive:
        scores /= scores.sum(1, keepdims=True)
    else:
        labels = np.where(random.random(labels.shape) < 0.1, -1, labels)
    columns = {}
    for place, name in enumerate(task.names):
        columns |= {f"label/{name}": labels[:, place], f"score/{name}": scores[:, place]}
    assert size == len(labels)
    return frame.drop(columns=[contract.LABEL, contract.SCORE]).assign(**columns)


def png(index: int) -> bytes:
    """An image, other for each index."""
    written = io.BytesIO()
    Image.fromarray(np.full((24, 32), index % 256, np.uint8)).save(written, "PNG")
    return written.getvalue()


def leave_several(folder: Path, task: Task) -> dict[str, str]:
    """Writes the artifacts of a run of several classes or findings; see `leave`."""
    frame = table_of_several(task)
    uris = leave(folder, frame, task)
    point = {
        "rule": "Youden's",
        "threshold": 0.4,
        "temperature": 1.3,
        "bias": 0.4,
        "validation": {},
    }
    points = {"findings": dict.fromkeys(task.judged, point)}
    (folder / "model_run" / "operating_point.json").write_text(json.dumps(points))
    rules = [{**_rule("auc", "all", 0.9, True, "mean AUC 0.9"), "finding": ""}]
    for number, name in enumerate(task.judged):
        rule = _rule("auc", "all", 0.8, number != 1, f"{name}: AUC")
        rules.append({**rule, "finding": name})
    gate = {"rules": rules, "baseline": {"state": "none", "text": "none"}}
    (folder / "evaluation" / "gate.json").write_text(json.dumps(gate))
    return uris


def leave(
    folder: Path, frame: pd.DataFrame | None = None, task: Task | None = None
) -> dict[str, str]:
    """Writes the artifacts of a run.

    Returns:
        Their folders, as the page is given them.
    """
    frame = table() if frame is None else frame
    uris = {
        "Evaluator.evaluation": folder / "evaluation",
        "Trainer.model_run": folder / "model_run",
        "Trainer.model": folder / "model",
        "ExampleGen.examples": folder / "examples",
        "DataGate.verdict": folder / "verdict",
    }
    for path in uris.values():
        path.mkdir(parents=True)
    heldout_scores.write_scores(pa.Table.from_pandas(frame), folder / "evaluation")
    rules = [
        _rule("auc", "all", 0.9, True, f"AUC 0.9 {TAG}"),
        _rule("slice_auc", f"{contract.SITE}: {SITES[1]}", 0.6, False, f"0.6 is low {SCRIPT}"),
        {**_rule("baseline", "all", None, None, "none before"), "low": None, "high": None},
        {
            **_rule("slice_auc", f"{contract.SITE}: {SITES[0]}", 0.66, None, f"not judged {TAG}"),
            "unjudged": True,
        },
    ]
    gate = {"rules": rules, "baseline": {"state": "none", "text": f"none {TAG}"}}
    (folder / "evaluation" / "gate.json").write_text(json.dumps(gate))
    operating_point = {
        "rule": f"Youden's {SCRIPT}",
        "threshold": THRESHOLD,
        "temperature": 1.3,
        "validation": {"sensitivity": 0.8, "specificity": 0.7, "positives": 30, "negatives": 31},
        "unlike": {"limit": 5.0, "share": 0.01},
    }
    (folder / "model_run" / "operating_point.json").write_text(json.dumps(operating_point))
    (folder / "model_run" / filenames.SITE_TRANSFER).write_text(json.dumps(_carried()))
    task = task or Task(tuple(CLASSES))
    _leave_shortcuts(folder, task)
    layer = summary.Layer("conv", "Conv2D", "8 × 8 × 4", 40, True)
    described = summary.Network([layer], [layer], 40, 40)
    (folder / "model_run" / filenames.NETWORK).write_text(json.dumps(dataclasses.asdict(described)))
    history = {"loss": [0.7, 0.5], "auc": [0.6, 0.8], "val_auc": [0.6, 0.7]}
    (folder / "model_run" / "history.json").write_text(json.dumps(history))
    records = _records(folder / "examples" / "Split-test", frame)
    thresholds = dict.fromkeys(task.judged, THRESHOLD)
    pictures.draw_pictures(
        frame, task, thresholds, [str(records)], uris["Trainer.model"],
        folder / "evaluation", make_pipeline,
    )  # fmt: skip
    return {name: str(path) for name, path in uris.items()}


def _leave_shortcuts(folder: Path, task: Task) -> None:
    """A site that tells each class or finding, and a sex that does not."""
    auc, low = intervals.Estimate(0.62, 0.58, 0.66), intervals.Estimate(0.51, 0.48, 0.54)
    rates = [association.Rate(site, 40 - i, 20) for i, site in enumerate(SITES)]
    plain = [association.Rate("F", 60, 30), association.Rate("M", 60, 31)]
    parts = [
        strata.Stratum(SITES[0], 30, 15, 14, intervals.Estimate(0.84, 0.71, 0.93)),
        strata.Stratum(SITES[2], 8, 3, 5, None),
    ]
    better = intervals.Estimate(0.24, 0.15, 0.33)
    model = intervals.Estimate(0.86, 0.8, 0.9)
    associations, comparisons = [], []
    for name in task.judged:
        associations += [
            association.Association(contract.SITE, name, auc, 0.58, rates),
            association.Association(contract.SEX, name, low, 0.58, plain),
        ]
        comparisons.append(
            strata.Comparison(contract.SITE, name, auc, model, better, 0.84, parts, strata.BETTER)
        )
    shortcut_report.write_found(associations, str(folder / "verdict"))
    shortcut_report.write_found(comparisons, str(folder / "evaluation"))
    told = probe.Told(contract.SITE, SITES[0], 40, 120, model)
    content = dataclasses.asdict(probe.Probe([told], ["study/view: none is known"]))
    (folder / "model_run" / filenames.PROBE).write_text(json.dumps(content))


def make_pipeline() -> beam.Pipeline:
    """A Beam job in this process."""
    return beam.Pipeline(options=beam_options.parse(beam_options.complete([])))


def _rule(kind: str, where: str, figure: float | None, passed: bool | None, text: str) -> dict:
    return {"rule": kind, "slice": where, "figure": figure, "low": 0.5, "high": 0.95,
            "limit": 0.7, "passed": passed, "text": text}  # fmt: skip


def _carried() -> dict:
    """How sites carry to each other; one of the cells lies below all others."""
    auc = {"value": 0.91, "low": 0.85, "high": 0.95}
    cells = [{"site": site, "images": 40, "patients": 20, "auc": auc} for site in SITES[:2]]
    rows = [
        {"site": site, "images": 90, "patients": 45, "cells": cells} for site in (SITES[0], None)
    ]
    rows[0]["cells"] = [cells[0], {**cells[1], "auc": {**auc, "value": 0.612}}]
    return {"rows": rows, "left_out": [SITES[1], SITES[2]], "reason": ""}


def _records(folder: Path, frame: pd.DataFrame) -> Path:
    folder.mkdir()
    path = folder / "data_tfrecord-00000-of-00001.gz"
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(path), options) as out:
        for index, name in enumerate(frame[contract.FILENAME]):
            feature = {
                contract.FILENAME: tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[name.encode()])
                ),
                contract.IMAGE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(index)])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            out.write(example.SerializeToString())
    return path


def config(task: Task | None = None) -> str:
    """A resolved config of the same classes."""
    task = task or Task(tuple(CLASSES))
    model = {"backbone": "cnn_150", "weights": "none", "image_size": 64}
    settings = {
        "name": "page",
        "classes" if task.exclusive else "findings": list(task.names),
        "model": model,
        "train": {"mode": "fine_tune"},
        "evaluate": {"slices": [contract.SITE, contract.AGE]},
    }
    return Config.model_validate(settings).to_yaml()


def run_summary(**fields: object) -> dict:
    """A run's summary."""
    plain = {"run_id": f"1 {TAG}", "status": "not_blessed", "reason": f"why {SCRIPT}",
             "threshold": 0.7, "examples": {"rejected": 1}, "seconds": {"total": 3.5},
             "pushed_model": None, "cached": [], "metrics": {},
             "data_issues": [{"kind": "drift", "action": "warn", "message": TAG,
                              "items": [TAG, SCRIPT], "total": 2},
                             {"kind": "image_notes", "action": "note", "message": f"odd {TAG}",
                              "items": [TAG], "total": 1}]}  # fmt: skip
    return {**plain, **fields}

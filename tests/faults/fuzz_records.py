"""Records with bits flipped: in their frames, in their messages, in their images.

    python -m tests.faults.fuzz_records [--records 3000] [--seed 0]

writes so many of them, under the contract's names and under others, between good ones. All files
are read; then everything goes through `tfxray run` and `tfxray predict`, as do the contract's
records that keep the contract all the same, which nothing ingests. No command may end by a failure
of ours or by a signal, and no record may be lost. `test_fuzz_records.py` does so with a few.
"""

import argparse
import csv
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
import yaml
from PIL import Image

from tfxray.components.common import contract
from tfxray.components.common.errors import UserError
from tfxray.components.guard.rejects import DEFAULT_LIMITS, Rejected
from tfxray.components.ingest import record_check, worker
from tfxray.components.metadata.known import read_known
from tfxray.components.pixels import image
from tfxray.components.sample import draw
from tfxray.components.source import tfrecords

TASK = contract.Task(("NORMAL", "PNEUMONIA"))
OTHER_NAMES = {
    contract.IMAGE: "x", contract.LABEL: "y", contract.TEXT: "word", contract.PATIENT: "who",
    contract.AGE: "old", contract.SITE: "where", contract.FILENAME: "file",
}  # fmt: skip
FORMATS = (("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}))
_FINE = (0, 2, 3, 4)  # exit codes


def good_records(folder: Path, images: int) -> list[tf.train.Example]:
    """Drawn X-rays as examples by the contract, as PNG and JPEG."""
    draw.write_sample(folder, images=images, size=64, seed=3)
    examples = []
    with (folder / draw.MANIFEST).open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            kind, options = FORMATS[number % len(FORMATS)]
            buffer = io.BytesIO()
            Image.open(folder / row["path"]).save(buffer, kind, **options)
            xray = image.read_image(buffer.getvalue())
            example = worker.make_example(xray, row["path"], row["label"], TASK, read_known(row))
            examples.append(example)
    return examples


def rename(example: tf.train.Example) -> tf.train.Example:
    """The same under other names."""
    renamed = tf.train.Example()
    for name, feature in example.features.feature.items():
        renamed.features.feature[OTHER_NAMES.get(name, name)].CopyFrom(feature)
    return renamed


def flip(content: bytes, draws: random.Random, places: Sequence[int] = ()) -> bytes:
    """Flips a few bits, or cuts or doubles a stretch."""
    changed = bytearray(content)
    places = places or range(len(changed))
    way = draws.random()
    start = draws.choice(places)
    if way < 0.1:
        return bytes(changed[:start])
    if way < 0.2:
        stop = min(start + draws.randrange(1, 64), len(changed))
        return bytes(changed[:stop] + changed[start:])
    for _ in range(draws.choice((1, 1, 2, 8))):
        changed[draws.choice(places)] ^= 1 << draws.randrange(8)
    return bytes(changed)


def damage(example: tf.train.Example, draws: random.Random) -> bytes:
    """A record, damaged in its message or in its image."""
    if draws.random() < 0.4:
        copy = tf.train.Example.FromString(example.SerializeToString())
        name = contract.IMAGE if contract.IMAGE in copy.features.feature else "x"
        values = copy.features.feature[name].bytes_list.value
        values[0] = flip(values[0], draws)
        return copy.SerializeToString()
    record = example.SerializeToString()
    if draws.random() < 0.3:
        return flip(record, draws)
    # Most of a record is its image. Around it lie the names, kinds and lengths.
    encoded = max(
        (v for f in example.features.feature.values() for v in f.bytes_list.value), key=len
    )
    start = record.index(encoded)
    around = [place for place in range(len(record)) if not start <= place < start + len(encoded)]
    return flip(record, draws, around)


def write(path: Path, records: list[bytes]) -> None:
    """Writes a file of TFRecords."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def read_damaged_files(
    folder: Path, records: list[bytes], files: int, draws: random.Random
) -> Counter[str]:
    """Reads files whose frames are damaged: what became of each."""
    fates: Counter[str] = Counter()
    for _ in range(files):
        content = draws.sample(records, 3)
        path = folder / draws.choice(("a.tfrecord", "a.tfrecord.gz"))
        with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else "") as writer:
            for record in content:
                writer.write(record)
        whole = path.read_bytes()
        # Half of all in the frames alone; where in a compressed file these lie, nobody knows.
        frames = _frames(content) if path.suffix != ".gz" and draws.random() < 0.5 else ()
        path.write_bytes(flip(whole, draws, frames))
        try:
            read = list(tfrecords.read_records(str(path)))
        except UserError:
            fates["refused"] += 1
            continue
        # A cut between two records, or a record that is there twice, nobody can see.
        bad = sum(isinstance(record, Rejected) for record in read)
        assert all(record in content for record in read if not isinstance(record, Rejected))
        fates["set aside" if bad else "read"] += 1
    return fates


def _frames(content: list[bytes]) -> list[int]:
    places, start = [], 0
    for record in content:
        end = start + struct.calcsize("<QI") + len(record)
        places += [*range(start, start + 12), *range(end, end + 4)]
        start = end + 4
    return places


def keeping_contract(records: list[bytes]) -> Iterator[bytes]:
    """Those that keep the contract, each and together, so that they are used in place."""
    kinds: dict[str, type] = {}
    for record in records:
        try:
            look = record_check.look_at(record, TASK, DEFAULT_LIMITS)
        except Exception:
            continue
        agree = all(kinds.get(name, kind) is kind for name, kind in look.kinds.items())
        if agree and contract.PATIENT in look.kinds:
            kinds.update(look.kinds)
            yield record


def _call(out: Path, *arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "tfxray.pipeline.cli.main", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in _FINE:
        print(done.stdout[-3000:], done.stderr[-3000:])
        for log in out.glob("runs/*/log.txt"):
            print(log.read_text(errors="replace")[-3000:])
    return done.returncode, done.stdout, done.stderr


def _run(root: Path, name: str, features: dict[str, str], count: int) -> Path:
    config = {
        "name": name, "classes": list(TASK.names),
        "ingest": {"features": features},
        "model": {"arguments": {"alpha": 0.35}, "weights": "bundled", "image_size": 96},
        "train": {"epochs": 2},
        "validation": {"max_rejected": 1, "gate": dict.fromkeys(
            ("rejects", "leakage", "near_identical", "drift", "shortcut", "anomalies"), "warn")},
        "gate": {"auc": {"threshold": 0}, "slice_auc": None, "calibration_error": None,
                 "min_positives": 1, "min_negatives": 1, "servable": False},
    }  # fmt: skip
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    code, out, _ = _call(
        root / f"out-{name}", "run", "--config", path, "--data", root / name, "--out",
        root / f"out-{name}", "--json",
    )  # fmt: skip
    summary = json.loads(out.strip().splitlines()[-1])
    reports = [json.loads(f.read_text()) for f in (root / f"out-{name}").glob("data/*/ingest.json")]
    held = sum(reports[0]["written"].values()) if reports else count
    rejected = summary["examples"]["rejected"]
    print(f"run {name}: code {code}, {summary['status']}, {count} in, {held} + {rejected} out")
    assert code in _FINE, summary["reason"]
    assert not reports or held + rejected == count
    assert name != "kept" or not reports  # nothing is ingested
    return root / f"out-{name}"


def _predict(root: Path, name: str, model: Path, features: dict[str, str], count: int) -> None:
    out = root / f"predict-{name}"
    code, _, _ = _call(
        out, "predict", "--input", root / name, "--output", out, "--model", model,
        *(("--config", root / f"{name}.yaml") if features else ()),
    )  # fmt: skip
    report = json.loads((out / "predict.json").read_text()) if code == 0 else {}
    told = {key: report.get(key) for key in ("images", "scored", "withheld", "rejected")}
    print(f"predict {name}: code {code}, {told}")
    assert code == 0
    assert report["images"] == count == sum(told.values()) - count


def main() -> None:
    """Runs it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        good = good_records(root / "drawn", 300)
        whole = [example.SerializeToString() for example in good]
        third = arguments.records // 3
        ours = [damage(draws.choice(good), draws) for _ in range(third)]
        renamed = [rename(example) for example in good]
        theirs = [damage(draws.choice(renamed), draws) for _ in range(third)]
        print("frames:", dict(read_damaged_files(root, whole, third, draws)))
        kept = list(keeping_contract(ours))
        print(f"{len(kept)} of {len(ours)} damaged records keep the contract")
        write(root / "ours" / "a.tfrecord", [*whole, *ours])
        write(root / "kept" / "a.tfrecord", [*whole, *kept])
        write(root / "theirs" / "a.tfrecord", [*(e.SerializeToString() for e in renamed), *theirs])
        model = _run(root, "kept", {}, len(whole) + len(kept))
        _run(root, "ours", {}, len(whole) + len(ours))
        _run(root, "theirs", OTHER_NAMES, len(whole) + len(theirs))
        _predict(root, "kept", model, {}, len(whole) + len(kept))
        _predict(root, "ours", model, {}, len(whole) + len(ours))
        _predict(root, "theirs", model, OTHER_NAMES, len(whole) + len(theirs))


if __name__ == "__main__":
    main()

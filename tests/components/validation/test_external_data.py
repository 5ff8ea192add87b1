"""What of an external test set is in the data of the run is found, and nothing else is."""

import apache_beam as beam
import pytest
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.example_gen import fingerprints
from tfxray.components.validation import data_gate

GATE = {"rejects": "fail", "leakage": "fail", "near_identical": "warn"}
# Two hashes of 256 bits that are near, and two that are not.
HASHES = {"a": "0" * 64, "a'": "0" * 63 + "1", "b": "f" * 64, "c": "0f" * 32}


def example(name, patient, sha256, phash=""):
    texts = {
        contract.FILENAME: name, contract.PATIENT: patient, contract.SHA256: sha256,
        contract.PHASH: HASHES.get(phash, ""),
    }  # fmt: skip
    record = tf.train.Example()
    for key, text in texts.items():
        if text:
            record.features.feature[key].bytes_list.value.append(text.encode())
    return record


@pytest.fixture
def find(tmp_path):
    """DataGate's issues of external sets beside a run's data: lists of records, or mappings."""

    def call(own, patients="shared", **sets):
        with beam.Pipeline() as pipeline:
            for split, records in own.items():
                _ = (
                    pipeline
                    | f"Create[{split}]" >> beam.Create(records)
                    | f"Write[{split}]" >> fingerprints.Write(str(tmp_path / "examples"), split)
                )
        external = {}
        for name, records in sets.items():
            (tmp_path / "[sets]" / name).mkdir(parents=True)
            with tf.io.TFRecordWriter(f"{tmp_path}/[sets]/{name}/all-00000-of-00001") as writer:
                for record in records:
                    writer.write(record.SerializeToString())
            base = str(tmp_path / "[sets]" / name)
            external[name] = {
                "base": base, "globs": ["all-*"], "patients": patients, "ingest": None
            }  # fmt: skip
        config = {
            "near_distance": 16, "external": external, "gate": GATE, "max_rejected": 0.05
        }  # fmt: skip
        leaks = data_gate._find_leaks(
            beam.Pipeline(), str(tmp_path / "examples"), config, str(tmp_path / "scratch")
        )
        assert not (tmp_path / "scratch").exists()
        return leaks, list(data_gate._external(leaks, config))

    return call


# One patient and one image are in two splits: that is the run's own leakage, and no set's.
OWN = {
    "train": [
        example("1.png", "p1", "x", "a"), example("2.png", "p2", "y"), example("5.png", "17", "s")
    ],
    "eval": [example("3.png", "image:3.png", "z")],
    "test": [example("4.png", "p4", "w", "b"), example("6.png", "p2", "y")],
}  # fmt: skip
# An image that two sets share was not learnt from either.
SHARED = example("s.png", "q3", "t")


def test_patients_and_images_of_both_are_leakage_and_nothing_else_is(find):
    sets = {
        "nih": [example("a.png", "p4", "u", "c"), example("b.png", "q1", "z"), SHARED],
        "vin": [example("c.png", "q2", "v", "a'"), example("3.png", "image:3.png", "r"), SHARED],
    }
    leaks, issues = find(OWN, **sets)
    assert {issue.kind: (issue.action, issue.total) for issue in issues} == {
        "patients": ("fail", 1), "identical": ("fail", 1), "near_identical": ("warn", 1)
    }  # fmt: skip
    items = {issue.kind: issue.items for issue in issues}
    assert items["patients"] == ["p4 (data: test/4.png; external: nih/a.png)"]
    assert items["identical"] == ["(data: eval/3.png; external: nih/b.png)"]
    assert items["near_identical"] == ["(data: train/1.png; external: vin/c.png)"]
    assert "evaluate.external.NAME.patients" in issues[0].message
    assert {kind: leaks[kind].total for kind in ("patients", "identical")} == {
        "patients": 1, "identical": 1
    }  # fmt: skip


def test_ids_of_a_hospitals_own_are_no_persons_of_another(find):
    _, issues = find(OWN, patients="own", other=[example("a.png", "17", "u")])
    assert issues == []


def test_rejects_of_a_set_are_told_by_its_name_and_its_own_share():
    report = {"rejected": 3, "images": 10, "reasons": {"truncated": 3}, "image_notes": {}}
    config = {"external": {"nih": {"ingest": report}}, "gate": GATE, "max_rejected": 0.05}
    (issue,) = data_gate._external({}, config)
    assert (issue.kind, issue.action, issue.total) == ("rejects", "fail", 3)
    assert issue.message.startswith("external test set nih: 3 of 10 images were rejected")
    assert issue.items == ["truncated: 3"]

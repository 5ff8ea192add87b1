"""Data that DataGate refuses: exit code 4, named, nothing trained."""

import csv
import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def refused(tfxray, small_config, tmp_path):
    def call(data, *arguments):
        out = tmp_path / "out"
        result = tfxray(
            "run", "--config", small_config, "--data", data, "--out", out, "--json", *arguments
        )
        summary = json.loads(result.out.strip().splitlines()[-1])
        assert result.code == 4, result.err
        assert summary["status"] == "data_rejected"
        assert summary["pushed_model"] is None
        assert "Traceback" not in result.err
        assert not (out / "artifacts" / "Transform").exists()
        return summary

    return call


def split(drawn, folder, leak):
    """Copies the drawn set into given splits by patient; with `leak`, some files go astray."""
    rows = list(csv.DictReader((drawn / "manifest.csv").open()))
    patients = sorted({row["patient"] for row in rows})
    with (folder / "manifest.csv").open("w") as file:
        file.write("path,label,patient\n")
        for row in rows:
            place = patients.index(row["patient"]) % 5
            split_folder = {3: "val", 4: "test"}.get(place, "train")
            if leak and split_folder == "test" and row["path"].endswith("_1.png"):
                split_folder = "train"
            path = f"{split_folder}/{row['path']}"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn / row["path"], folder / path)
            file.write(f"{path},{row['label']},{row['patient']}\n")


def test_a_patient_in_two_given_splits_is_refused_and_named(refused, drawn, tmp_path):
    (tmp_path / "data").mkdir()
    split(drawn, tmp_path / "data", leak=True)
    summary = refused(tmp_path / "data")
    issue = next(i for i in summary["data_issues"] if i["kind"] == "patients")
    assert issue["total"] > 5
    assert f"leakage: {issue['total']} patients are in two splits" in summary["reason"]
    assert issue["items"][0].startswith("P000")
    page = Path(summary["review"]).read_text()
    assert "Data refused, nothing trained" in page
    assert issue["items"][1] in page


def test_too_many_rejects_are_refused_with_their_reasons(
    refused, tfxray, small_config, drawn, tmp_path
):
    shutil.copytree(drawn, tmp_path / "data")
    for path in sorted((tmp_path / "data").rglob("*.png"))[::12]:
        path.write_bytes(path.read_bytes()[:200])
    summary = refused(tmp_path / "data")
    assert summary["examples"]["rejected"] == 25
    assert "25 of 300 images were rejected, 8.3%; at most 5.0% are allowed" in summary["reason"]
    assert summary["data_issues"][0]["items"] == ["truncated: 25"]
    assert summary["ingest"] == {
        "found": 300, "images": 300, "rejected": 25, "reasons": {"truncated": 25},
        "left_out": {}, "dataset": {}, "without_patient": 0,
    }  # fmt: skip
    page = Path(summary["review"]).read_text()
    assert "275 images are used, 25 were rejected" in page

    # Nor from behind DataGate.
    result = tfxray(
        "run", "--config", small_config, "--data", tmp_path / "data", "--out", tmp_path / "out",
        "--from", "Transform",
    )  # fmt: skip
    assert result.code == 2
    assert "--from Transform: DataGate would have to run" in result.err
    assert not list((tmp_path / "out" / "artifacts").glob("Transform/*/*"))


def test_what_only_warns_is_said_and_does_not_stop(tfxray, drawn, quick_config, tmp_path):
    (tmp_path / "data").mkdir()
    split(drawn, tmp_path / "data", leak=True)
    result = tfxray(
        "run", "--config", quick_config, "--data", tmp_path / "data", "--out", tmp_path / "out",
        "--set", "validation.gate.leakage=warn", "--json",
    )  # fmt: skip
    summary = json.loads(result.out.strip().splitlines()[-1])
    assert result.code == 0
    assert "warn: leakage:" in result.err
    assert summary["data_issues"][0]["action"] == "warn"


def test_a_split_without_a_class_is_refused_before_training(tfxray, small_config, tmp_path):
    tfxray("sample", "--out", tmp_path / "few", "--images", 12, "--size", 64)
    result = tfxray("run", "--config", small_config, "--data", tmp_path / "few", "--out", tmp_path)
    assert result.code == 2
    assert "split holds" in result.err
    assert "it needs both" in result.err
    assert not (tmp_path / "artifacts" / "Transform").exists()

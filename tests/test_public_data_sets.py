"""Whole runs on public data sets as they come: exclusive classes, and uncertain labels.

`test_recipes.py` has NIH's, of several findings.
"""

import csv
import html
import json
from pathlib import Path

import pytest
import yaml

from tests import stand_ins
from tests.conftest import last_line

SETS = {
    "covid19_radiography": (
        {"classes": ["Normal", "COVID", "Lung_Opacity", "Viral Pneumonia"]},
        stand_ins.covid19_radiography,
        "this is COVID-19 Radiography Database in COVID-19_Radiography_Dataset: 4 classes",
    ),
    "chexpert": (
        {"findings": ["Cardiomegaly", "Pleural Effusion", "Pneumothorax"]},
        stand_ins.chexpert,
        "this is CheXpert in CheXpert-v1.0-small: 13 findings, official split",
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_a_run_goes_all_the_way(tfxray, tmp_path, quick_config, name):
    labels, make, said = SETS[name]
    make(tmp_path / "data")
    settings = yaml.safe_load(quick_config.read_text()) | {"name": name} | labels
    if "findings" in labels:
        del settings["classes"]
    settings["validation"] = {"gate": {"near_identical": "warn"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    done = tfxray(
        "run", "--config", tmp_path / "config.yaml", "--data", tmp_path / "data",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    summary = last_line(done)
    assert summary["status"] == "pushed"
    assert said in done.err
    assert f"using ingest.dataset: {name}" in done.err
    assert {*summary["findings"]} == {*(labels.get("classes") or labels["findings"])}
    report = json.loads(next((tmp_path / "out" / "data").glob("records-*/ingest.json")).read_text())
    assert report["dataset"]["name"] == name
    assert sum(report["written"].values()) + report["rejected"] == report["images"]
    if name == "covid19_radiography":
        assert report["left_out"]["mask"] == report["images"]
    if name == "chexpert":  # one in ten is a lateral
        assert report["left_out"]["other_view"] == 30
        tables = (tmp_path / "data" / "CheXpert-v1.0-small").glob("valid.csv")
        with next(tables).open() as table:
            frontal = [r for r in csv.DictReader(table) if r["Frontal/Lateral"] == "Frontal"]
        assert summary["examples"]["test"] == len(frontal)
    page = html.unescape(Path(summary["review"]).read_text())
    assert report["dataset"]["licence"] in page
    assert report["dataset"]["citation"].split(",")[0] in page

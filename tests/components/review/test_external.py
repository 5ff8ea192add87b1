"""External test sets on the page, on the card and in the summary, of made scores."""

import json

import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from tests import pages
from tests.components.review.written import Tags
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import external_rules, heldout_scores
from tfxray.components.external import component, site
from tfxray.components.review.page import write_page
from tfxray.pipeline.config.config import Config

BINARY = Task(tuple(pages.CLASSES))
SEVERAL = Task(("Edema", "Effusion", pages.TAG.strip("<>")), exclusive=False)
DRIFT = f"image/mean (Jensen-Shannon 0.312, at most 0.080) {pages.TAG}"
GATE = Config(name="page", classes=["a", "b"]).gate.model_dump()


@pytest.fixture(params=[BINARY, SEVERAL], ids=["binary", "several"])
def run(request, tmp_path):
    """A task, the test split, an external set, and the folders that hold them."""
    task = request.param
    make = pages.table if task.binary else lambda patients: pages.table_of_several(task, patients)
    test, external = make(80), make(60)
    heldout_scores.write_scores(pa.Table.from_pandas(test), tmp_path / "evaluation")
    heldout_scores.write_scores(pa.Table.from_pandas(external), tmp_path / "scores" / "nih")
    note = {"rejected": 3, "drift": [DRIFT]}
    (tmp_path / "scores" / "nih" / component.FILE).write_text(json.dumps(note))
    gate = {**GATE, "external": {**GATE["external"], "auc": 0.99, "action": "warn"}}
    settings = {"gate": gate, "classes" if task.exclusive else "findings": list(task.names)}
    judged = external_rules.judge_external({"nih": external}, test, settings)
    verdicts = {"rules": [vars(rule) for rule in judged], "baseline": {"state": "none", "text": ""}}
    (tmp_path / "evaluation" / "gate.json").write_text(json.dumps(verdicts))
    point = {"rule": "fixed", "threshold": pages.THRESHOLD, "temperature": 1.0}
    points = point if task.binary else {"findings": dict.fromkeys(task.judged, point)}
    (tmp_path / "model_run").mkdir()
    (tmp_path / "model_run" / "operating_point.json").write_text(json.dumps(points))
    uris = {
        "Evaluator.evaluation": "evaluation", "ExternalTest.scores": "scores",
        "Trainer.model_run": "model_run",
    }  # fmt: skip
    return task, test, external, {name: str(tmp_path / path) for name, path in uris.items()}


def test_the_figures_are_those_of_the_gate_and_of_scikit_learn(run):
    task, test, external, uris = run
    thresholds = dict.fromkeys(task.judged, pages.THRESHOLD)
    (own,) = site.read_sites(uris, task, thresholds, GATE)
    assert own.figures == external_rules.measure_external(external, test, task, GATE)
    assert (own.name, own.images, own.patients, own.rejected) == ("nih", 120, 60, 3)
    for name, finding in own.findings.items():
        view = heldout_scores.view(external, task, name)
        labels, scores = view[contract.LABEL], view[contract.SCORE]
        assert finding.auc.value == pytest.approx(roc_auc_score(labels, scores))
        called = scores >= pages.THRESHOLD
        assert finding.sensitivity.value == pytest.approx(called[labels == 1].mean())
        assert finding.specificity.value == pytest.approx((~called)[labels == 0].mean())
    told = own.to_summary(task.binary)
    assert told["change_from_test"] == own.figures.change.value
    assert told["change_from_test_interval"][0] < told["change_from_test"]
    assert ("findings" in told) is not task.binary
    assert json.loads(json.dumps(told)) == told


def test_the_page_and_the_card_show_the_set_and_its_warning(run, tmp_path):
    task, _, _, uris = run
    path = tmp_path / "review.html"
    fields = {"name": "page", "gate": GATE}
    settings = {**fields, "classes" if task.exclusive else "findings": list(task.names)}
    write_page(path, pages.run_summary(), json.dumps(settings), uris)
    tags = Tags(path.read_text())
    assert not [tag for tag, attributes in tags.tags if "onerror" in attributes]
    assert [a["href"] for tag, a in tags.tags if tag == "a"].count("#external") == 1
    assert "! warns" in tags.text
    assert "Yes, with warnings" in tags.text
    assert "lets this pass: external test set nih:" in tags.text
    assert DRIFT in tags.text
    assert "120 images of 60 patients; 3 rejected" in tags.text
    assert pages.SECRET not in path.read_text()
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "| nih | 120 | 60 |" in card
    assert "- warns: external test set nih:" in card


def test_a_run_without_sets_has_none(run):
    task, _, _, uris = run
    del uris["ExternalTest.scores"]
    assert site.read_sites(uris, task, {}, GATE) == []

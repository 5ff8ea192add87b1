"""A model beside a shortcut, and without its help."""

import apache_beam as beam
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.components.shortcuts.test_traits import record
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.shortcuts import association, section, strata, traits

TASK = Task(("NORMAL", "PNEUMONIA"))
COUNT = 400


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Training and held-out images: half are sick, and 70 % of the sick are taken AP."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("examples")
    tables = {}
    for split in ("train", "test"):
        labels = np.arange(COUNT) % 2
        views = np.where(rng.random(COUNT) < np.where(labels, 0.7, 0.3), "AP", "PA")
        views[:6] = "LL"
        records = [
            record(f"{split}{i}".encode(), **{
                contract.LABEL: int(label), contract.VIEW: view.encode(),
                contract.PATIENT: f"{split}{i}".encode(), contract.MEAN: float(rng.normal()),
            })
            for i, (label, view) in enumerate(zip(labels, views, strict=True))
        ]  # fmt: skip
        with beam.Pipeline() as pipeline:
            _ = pipeline | beam.Create(records) | traits.Write(str(folder), split)
        rows = [traits.make_row(one) for one in records]
        tables[split] = pd.DataFrame(rows).assign(label=labels)
    return str(folder), tables["test"]


def compare(examples, scores, take=slice(None)):
    folder, frame = examples
    frame, scores = frame[take].reset_index(drop=True), np.asarray(scores, float)[take]
    found = strata.compare_model(
        folder, frame, frame[["label"]].to_numpy(), scores[:, np.newaxis], TASK, 10
    )
    return {one.trait: one for one in found}


def test_a_model_of_the_disease_is_better_and_keeps_its_auc_within_each_view(examples):
    label = examples[1]["label"].to_numpy()
    scores = label + np.random.default_rng(1).normal(0, 0.7, COUNT)
    found = compare(examples, scores)
    assert set(found) == {contract.VIEW, contract.MEAN, association.TOGETHER}
    view = found[contract.VIEW]
    assert view.verdict == strata.BETTER
    assert view.alone.value == pytest.approx(0.7, abs=0.05)
    assert view.model.value == pytest.approx(roc_auc_score(label, scores))
    assert view.difference.value == pytest.approx(view.model.value - view.alone.value)
    own = {stratum.value: stratum for stratum in view.strata}
    inside = (examples[1][contract.VIEW] == "AP").to_numpy()
    assert own["AP"].auc.value == pytest.approx(roc_auc_score(label[inside], scores[inside]))
    # Too few to judge are a row that says so.
    assert (own["LL"].auc, own["LL"].images, own["LL"].positives) == (None, 6, 3)
    assert min(own["AP"].auc.value, own["PA"].auc.value) <= view.within
    assert found[contract.MEAN].strata == []


def test_a_model_of_the_view_is_found_out(examples):
    scores = (examples[1][contract.VIEW] == "AP") + np.random.default_rng(1).normal(0, 0.01, COUNT)
    view = compare(examples, scores)[contract.VIEW]
    assert view.verdict == strata.NOT_SHOWN
    assert view.within == pytest.approx(0.5, abs=0.08)


def test_a_model_that_is_blind_in_one_view_is_not_better_everywhere(examples):
    label, pa = examples[1]["label"], examples[1][contract.VIEW] == "PA"
    rng = np.random.default_rng(1)
    scores = np.where(pa, 0.5 + rng.normal(0, 0.01, COUNT), label + rng.normal(0, 0.1, COUNT))
    view = compare(examples, scores)[contract.VIEW]
    assert view.verdict == strata.NOT_EVERYWHERE
    part = section.make_section(
        [{"trait": contract.VIEW, "finding": "PNEUMONIA", "auc": {"value": 0.7}, "limit": 0.6}],
        [strata.dataclasses.asdict(view)], {}, ["PNEUMONIA"], 10,
    ).parts[0]  # fmt: skip
    assert "within PA, nothing shows that it is better than chance" in part.lines[0]


def test_few_patients_are_not_judged(examples):
    label = examples[1]["label"]
    assert compare(examples, label, slice(16))[contract.VIEW].verdict == strata.UNJUDGED
    assert compare(examples, label, slice(0, None, 2)) == {}  # one class only


def test_examples_without_the_table_are_not_compared(examples, tmp_path):
    assert compare((str(tmp_path), examples[1]), examples[1]["label"]) == {}


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (strata.BETTER, "The model is better than that: AUC 0.90 against 0.62"),
        (strata.NOT_SHOWN, "Nothing shows that the model is better"),
        (strata.UNJUDGED, "too few to say"),
        (None, "Whether this model did is not known"),
    ],
)
def test_the_page_says_it_in_plain_words(verdict, words):
    figure = {"value": 0.9, "low": 0.8, "high": 0.95}
    association_fields = {
        "trait": contract.VIEW,
        "finding": "x",
        "auc": {"value": 0.62},
        "limit": 0.6,
    }
    beside = {
        "trait": contract.VIEW, "finding": "x", "alone": {**figure, "value": 0.62}, "model": figure,
        "difference": figure, "verdict": verdict,
        "strata": [{"value": "AP", "auc": figure}, {"value": "LL", "auc": None}],
    }  # fmt: skip
    made = section.make_section(
        [association_fields], [beside] if verdict else [], {}, ["x", "y"], 10
    )
    (part,) = made.parts
    assert words in part.lines[0]
    assert not verdict or part.lines[0].endswith("within AP 0.90 [0.80, 0.95].")

"""How well a trait alone tells the label."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tfxray.components.common import contract
from tfxray.components.shortcuts import association, shortcut_report, traits, values

COUNT = 1000


def frame(**columns):
    """Traits of images, each of a patient of its own, with nothing known but these."""
    plain = {name: [None] * COUNT for name in traits.TEXTS} | {
        name: [np.nan] * COUNT for name in traits.NUMBERS
    }
    names = {"view": contract.VIEW, "site": contract.SITE, "mean": contract.MEAN,
             "width": contract.WIDTH, "height": contract.HEIGHT, "age": contract.AGE}  # fmt: skip
    own = {names[name]: column for name, column in columns.items()}
    return pd.DataFrame({**plain, **own, contract.PATIENT: [f"p{i}" for i in range(COUNT)]})


def measure(table, labels, threshold=0.56):
    labels = labels if isinstance(labels, pd.DataFrame) else pd.DataFrame({"SICK": labels})
    words = values.Values(table).of(table)
    found = association.measure_all(words, labels, table[contract.PATIENT], threshold)
    return {(one.trait, one.finding): one for one in found}


@pytest.fixture
def nih():
    """View and class as the thousand images of ChestX-ray14 in the NIH's set have them."""
    labels = np.repeat([0, 1], 500)
    view = ["AP"] * 342 + ["PA"] * 158 + ["AP"] * 225 + ["PA"] * 275
    return frame(view=view), labels


def test_a_trait_of_two_values_has_the_auc_of_its_table(nih):
    table, labels = nih
    found = measure(table, labels)
    assert list(found) == [(contract.VIEW, "SICK")]  # what does not vary is left out
    (view,) = found.values()
    assert view.auc.value == pytest.approx(
        roc_auc_score(labels, table[contract.VIEW] == "PA"), abs=0.01
    )
    assert view.auc.low < 0.617 < view.auc.high
    assert view.beyond
    assert [(r.value, r.images, r.positives) for r in view.rates] == [
        ("AP", 567, 225), ("PA", 433, 275),
    ]  # fmt: skip
    assert "PA" in shortcut_report.describe(view)
    assert "64% of the 433 images with PA, 40% of the 567 with AP" in shortcut_report.describe(view)


def test_what_is_known_of_one_class_alone_tells_it():
    labels = np.arange(COUNT) % 2
    view = [None if label else "PA" for label in labels]
    one = measure(frame(view=view), labels)[contract.VIEW, "SICK"]
    assert one.auc.value == 1
    assert {rate.value for rate in one.rates} == {"PA", "unknown"}


def test_a_size_of_one_class_alone_tells_it():
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [600, 400])
    side = np.where(labels, 1024, rng.integers(900, 2000, COUNT)).astype(float)
    one = measure(frame(width=side, height=side), labels)[values.SIZE, "SICK"]
    assert one.auc.value > 0.99
    assert one.rates[0].value == "1024 x 1024"
    assert all("megapixels" in rate.value for rate in one.rates[1:])


def test_a_number_tells_though_high_and_low_are_alike():
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    far = rng.choice([-1, 1], COUNT) * rng.uniform(200, 300, COUNT)
    mean = np.where(labels, far, 100 * rng.normal(size=COUNT))
    mean[:9] = np.nan
    one = measure(frame(mean=mean), labels)[contract.MEAN, "SICK"]
    assert one.auc.value > 0.9
    names = [rate.value for rate in one.rates]
    assert names[0].startswith("up to -")
    assert names[-2].startswith("above ")
    assert names[-1] == "unknown"
    starts = [float(name.split()[0]) for name in names[1:-2]]
    assert starts == sorted(starts)


def test_what_goes_with_nothing_is_no_shortcut():
    """With 95 % intervals, one of four draws would name one."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(40):
        table = frame(
            view=rng.choice(["PA", "AP", None], COUNT), site=rng.choice([*"abcdefgh"], COUNT),
            mean=rng.normal(size=COUNT), age=rng.uniform(0, 90, COUNT),
        )  # fmt: skip
        found = measure(table, rng.integers(0, 2, COUNT))
        alarms += any(one.beyond for one in found.values())
    assert alarms <= 2


def test_images_of_one_patient_are_no_new_evidence():
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 10, COUNT)
    table = frame(site=np.array([*"abcdefghij"])[owner])
    table[contract.PATIENT] = owner.astype(str)
    labels = (owner < 5).astype(int)
    # Ten patients, ten sites: no site says anything of another patient's.
    assert not measure(table, labels)[contract.SITE, "SICK"].beyond


def test_findings_are_told_one_by_one_where_their_labels_are_known(nih):
    table, labels = nih
    unknown = np.where(np.arange(COUNT) % 2, labels, contract.UNKNOWN)
    found = measure(table, pd.DataFrame({"Edema": unknown, "Mass": 0}))
    (one,) = found.values()
    assert (one.finding, sum(rate.images for rate in one.rates)) == ("Edema", 500)
    assert one.limit > measure(table, labels)[contract.VIEW, "SICK"].limit


def test_the_limit_is_what_chance_allows():
    """Against SciPy's Mann-Whitney test, which knows of ties."""
    words = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [500, 300, 200]))
    labels = np.arange(COUNT) % 2
    limit = association.find_limit(0.5, 500, 500, np.array([0.5, 0.3, 0.2]), comparisons=1)
    one, other = words[labels == 1], words[labels == 0]
    test = stats.mannwhitneyu(one, other, alternative="greater", use_continuity=False)
    deviation = (test.statistic / 500**2 - 0.5) / stats.norm.isf(test.pvalue)
    expected = association._ALLOWANCE * stats.norm.isf(0.005) * deviation
    assert limit - 0.5 == pytest.approx(expected, rel=0.01)
    assert association.find_limit(0.7, 500, 500, np.ones(0), 1) == 0.7
    assert association.find_limit(0.56, 0, 500, np.ones(0), 1) == np.inf


def test_images_are_worth_as_many_as_their_patients_by_kish():
    assert association.count_independent(pd.Series([*"abcd"])) == 4
    assert association.count_independent(pd.Series([*"aaaa"])) == 1
    assert association.count_independent(pd.Series([*"aab"])) == pytest.approx(9 / 5)
    assert association.count_independent(pd.Series([], dtype=object)) == 0


def test_one_message_names_the_single_traits_first(nih):
    table, labels = nih
    table[contract.SITE] = np.where(np.random.default_rng(0).random(COUNT) < 0.5, "a", "b")
    found = [one for one in measure(table, labels).values() if one.beyond]
    assert {one.trait for one in found} == {contract.VIEW, association.TOGETHER}
    message = shortcut_report.tell_all(found)
    assert message.startswith("shortcuts: study/view alone tells SICK with AUC 0.6")
    assert "; all that is known besides what the X-ray shows tells SICK" in message


def test_no_rows_have_no_association():
    empty = frame().iloc[:0]
    assert measure(empty, pd.DataFrame({"SICK": []}, dtype=int)) == {}

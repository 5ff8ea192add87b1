"""How well an embedding tells site and view."""

import numpy as np
import pytest

from tfxray.components.common import contract
from tfxray.components.shortcuts import probe

COUNT = 400
RNG = np.random.default_rng(0)
PATIENTS = RNG.integers(0, 150, COUNT)


def test_an_embedding_that_holds_the_view_tells_it_and_noise_tells_nothing():
    views = RNG.choice(["AP", "PA"], COUNT)
    sites = RNG.choice(["north", "south", "west", ""], COUNT, p=[0.4, 0.3, 0.2, 0.1])
    embeddings = RNG.normal(size=(COUNT, 16))
    embeddings[:, 3] += 3 * (views == "AP")
    found = probe.probe_embeddings(
        embeddings, {contract.VIEW: views, contract.SITE: sites}, PATIENTS
    )
    by_value = {(one.trait, one.value): one for one in found.told}
    (view,) = [one for one in found.told if one.trait == contract.VIEW]
    assert view.auc.low > 0.9
    assert view.total == COUNT
    # Three values, one by one; what is unknown is no value.
    assert {value for trait, value in by_value if trait == contract.SITE} == {
        "north",
        "south",
        "west",
    }
    assert by_value[contract.SITE, "north"].total == (sites != "").sum()
    assert by_value[contract.SITE, "north"].auc.value == pytest.approx(0.5, abs=0.12)
    assert found.skipped == []


def test_a_patient_is_never_in_both_parts():
    """Each patient has an embedding and a site of its own, which tell nothing of another's."""
    own = RNG.normal(size=(150, 16))
    site = RNG.choice(["north", "south"], 150)
    found = probe.probe_embeddings(own[PATIENTS], {contract.SITE: site[PATIENTS]}, PATIENTS)
    assert found.told[0].auc.low < 0.6


def test_what_cannot_be_judged_is_said():
    few = np.where(PATIENTS < 5, "AP", "PA")
    found = probe.probe_embeddings(RNG.normal(size=(COUNT, 4)), {contract.VIEW: few}, PATIENTS)
    assert found.told == []
    assert found.skipped[0].startswith("study/view: it takes 10 patients")


def test_some_thousand_images_are_enough():
    assert len(probe.draw_images(100, 1280, 0)) == 100
    places = probe.draw_images(100_000, 1280, 0)
    assert len(places) == 3_000
    assert (np.diff(places) > 0).all()
    assert len(probe.draw_images(100_000, 100_000, 0)) < 100

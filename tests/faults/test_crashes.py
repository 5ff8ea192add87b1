"""A short set of the disturbances; `tests/faults/crashes.py` has the long ones.

What is disturbed are processes; what goes before and after it, is done in this one.
"""

import os
import shutil

import pytest

from tests import in_process
from tests.faults.crashes import Campaign


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        in_process.ingest_here(patch)
        return Campaign(tmp_path_factory.mktemp("crashes"), in_process.call, after="Transform")


def test_a_run_after_a_killed_one_ends_as_an_undisturbed_one(campaign):
    trial = campaign.kill(0, 0.75)
    assert not trial.fault
    assert trial.where != "at the end"


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"),
    reason="NOT RUN: to mount a small file system needs root",
)
def test_a_run_after_a_full_disk_ends_as_an_undisturbed_one(campaign):
    trial = campaign.full(0, 0.6)
    assert not trial.fault
    assert trial.where != "at the end"

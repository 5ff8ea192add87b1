"""No baseline by accident: what was pushed is not replaced by a model that nobody compared."""

import pytest

from tests.components.evaluator.test_gate import apply_gate, failed_rules, frame, same
from tests.components.pusher.made import make_model, push_model
from tfxray.components.evaluator import baseline, gate
from tfxray.components.pusher import push, versions

NONE = gate.Baseline()
INCOMPATIBLE = gate.Baseline("incompatible", "the latest blessed model cannot score this data: X")


@pytest.fixture
def serving(tmp_path):
    return tmp_path / "serving" / "demo"


@pytest.fixture
def pushed(tmp_path, serving):
    return push_model(make_model(tmp_path / "better", b"b"), serving)


def require(tmp_path, serving, before=NONE, accepted=None):
    files = versions.hash_files(str(make_model(tmp_path / "candidate")))
    return baseline.require_baseline(before, files, str(serving), accepted)


@pytest.mark.parametrize("before", [NONE, INCOMPATIBLE])
def test_a_pushed_version_and_no_baseline_refuse_a_model(tmp_path, serving, pushed, before):
    after = require(tmp_path, serving, before)
    rules = apply_gate(baseline=after)
    assert failed_rules(rules) == ["baseline"]
    (text,) = [rule.text for rule in rules if rule.rule == "baseline"]
    assert text.startswith(before.text)
    assert f"version {pushed.name} was pushed" in text
    assert "AUC 0.9312 [0.9011, 0.9523] on 60 held-out images of 40 patients" in text
    assert f"set gate.accept_without_baseline to {pushed.name}" in text


def test_the_first_model_of_all_needs_none(tmp_path, serving):
    assert failed_rules(apply_gate(baseline=require(tmp_path, serving))) == []


def test_a_model_that_was_compared_needs_no_more(tmp_path, serving, pushed):
    compared = same(frame())
    assert require(tmp_path, serving, compared) is compared


def test_a_model_that_was_compared_with_another_than_is_served_is_refused(
    tmp_path, serving, pushed
):
    """A second pipeline pushes under the same name; or the store was restored from a copy."""
    files = versions.hash_files(str(make_model(tmp_path / "candidate")))
    blessed, number = str(make_model(tmp_path / "blessed", b"e")), int(pushed.name)

    def after(made, accepted=None, model=blessed):
        return baseline.require_baseline(same(frame()), files, str(serving), accepted, model, made)

    assert failed_rules(apply_gate(baseline=after(number - 1))) == ["baseline"]
    assert f"not the one that is served, but version {number} was pushed" in after(1).text
    assert failed_rules(apply_gate(baseline=after(number - 1, accepted=number))) == []
    assert not after(number + 1).refuses  # judged when the version was served
    assert not after(1, model=str(tmp_path / "better")).refuses  # it is what is served


def test_a_version_without_a_record_is_known_by_its_content(tmp_path, serving):
    blessed = make_model(tmp_path / "blessed", b"e")
    make_model(serving / "7", b"e")
    files = versions.hash_files(str(make_model(tmp_path / "candidate")))
    arguments = (same(frame()), files, str(serving), None)
    assert not baseline.require_baseline(*arguments, str(blessed), 1).refuses
    assert baseline.require_baseline(*arguments, str(tmp_path / "candidate"), 1).refuses


def test_the_model_that_is_served_may_be_evaluated_again(tmp_path, serving, pushed):
    push_model(make_model(tmp_path / "candidate"), serving)
    assert require(tmp_path, serving) == NONE


def test_what_the_config_accepts_is_accepted_once(tmp_path, serving, pushed):
    number = int(pushed.name)
    after = require(tmp_path, serving, accepted=number)
    assert failed_rules(apply_gate(baseline=after)) == []
    assert f"version {number} is replaced without a comparison" in after.text
    push_model(make_model(tmp_path / "newer", b"n"), serving)
    assert require(tmp_path, serving, accepted=number).refuses


@pytest.mark.parametrize("damage", ["", "saved_model.pb", "assets.extra/version.json"])
def test_versions_of_other_tools_and_damaged_ones_count_too(tmp_path, serving, damage):
    if damage:
        (push_model(make_model(tmp_path / "better", b"b"), serving) / damage).write_text("?")
    else:
        make_model(serving / "7", b"o")  # put there by hand, without a record
    assert require(tmp_path, serving).refuses


def test_a_folder_without_a_model_is_no_version(tmp_path, serving):
    (serving / "9").mkdir(parents=True)
    assert not require(tmp_path, serving).refuses


def test_a_model_that_a_rollback_took_out_of_service_is_not_pushed_again(tmp_path, serving, pushed):
    """It was blessed; the same run once more would undo what a person decided."""
    withdrawn = push_model(make_model(tmp_path / "candidate"), serving)
    copy = push.copy_version(str(pushed))
    after = require(tmp_path, serving, same(frame()))
    assert failed_rules(apply_gate(baseline=after)) == ["baseline"]
    assert f"this very model is version {withdrawn.name}, which a rollback took" in after.text
    assert f"tfxray serving --rollback {withdrawn.name}" in after.text
    number = int(copy.rpartition("/")[2])
    assert not require(tmp_path, serving, same(frame()), accepted=number).refuses
    push.copy_version(str(withdrawn))
    assert not require(tmp_path, serving, same(frame())).refuses


def test_after_a_rollback_the_model_that_is_served_is_a_baseline(tmp_path, serving, pushed):
    push_model(make_model(tmp_path / "worse", b"w"), serving)
    push.copy_version(str(pushed))
    files = versions.hash_files(str(make_model(tmp_path / "candidate")))
    arguments = (same(frame()), files, str(serving), None)
    assert not baseline.require_baseline(*arguments, str(tmp_path / "better"), 1).refuses
    assert baseline.require_baseline(*arguments, str(tmp_path / "worse"), 1).refuses


def test_a_copy_of_a_version_without_figures_is_told_so(tmp_path, serving):
    push.copy_version(str(make_model(serving / "7", b"o")))
    assert "its held-out figures are unknown" in require(tmp_path, serving).text

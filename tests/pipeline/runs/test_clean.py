"""What a clean removes, and what it must not: made runs in a metadata store."""

import json
import os
import re
import threading
import time

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tests.pipeline.runs.made import Out
from tfxray.components.common.errors import UserError
from tfxray.components.pusher import half_versions
from tfxray.pipeline.runs import locks
from tfxray.pipeline.runs.clean import plan_removal


@pytest.fixture
def out(tmp_path):
    return Out(tmp_path / "out")


@pytest.fixture
def clean(tfxray, out):
    def call(keep, *arguments):
        result = tfxray("clean", "--out", out.folder, "--keep", keep, *arguments)
        assert result.code == 0, result.err
        return result.out

    return call


def remaining(out):
    return sorted(path.name for path in (out.folder / "runs").iterdir())


def test_old_runs_go_and_what_newer_ones_took_of_them_stays(out, clean):
    old, (shared, own) = out.run(("Transform", "TransformGraph"), ("Trainer", "Model"))
    new, _ = out.run(("Transform", shared))
    text = clean(1, "--dry-run")
    assert f"goes   {old}" in text
    assert remaining(out) == [old, new]
    clean(1)
    assert remaining(out) == [new]
    assert out.uri(shared).is_dir()
    assert out.artifact(shared).state == mlmd.Artifact.LIVE
    assert not out.uri(own).exists()
    assert out.artifact(own).state == mlmd.Artifact.DELETED
    assert clean(1).splitlines() == [f"stays  {new}  newest", "freed 0.0 MB"]


def test_what_a_pushed_version_needs_stays_until_the_version_is_removed(out, clean):
    pushed, model, place = out.pushed()
    out.trained()
    out.trained()
    last, _ = out.run(("Trainer", "Model"))
    assert f"{pushed}  pushed: serving/demo/{model}" in clean(1)
    assert out.uri(model).is_dir()
    place.rmdir()
    clean(1)
    assert not out.uri(model).exists()
    assert pushed not in remaining(out)
    assert last in remaining(out)


def test_what_pushed_a_served_version_stays_where_the_store_was_set_back(out, clean):
    """The summary tells of the push as the store did; a copy of the store may be older."""
    place = out.folder / "serving" / "demo" / "7"
    place.mkdir(parents=True)
    summary = {"status": "pushed", "pushed_model": str(place)}
    pushed, again = (out.run(summary=summary)[0] for _ in range(2))  # the second found it served
    newest, _ = out.run()
    assert f"stays  {pushed}  pushed: serving/demo/7" in clean(1)
    assert remaining(out) == [pushed, newest]
    assert again not in remaining(out)
    place.rmdir()
    clean(1)
    assert remaining(out) == [newest]


def test_the_models_that_are_a_baseline_stay(out, clean):
    runs = [out.trained() for _ in range(4)]
    out.run(("Trainer", "Model"))  # never judged
    clean(0)
    models = [model for _, model in runs if out.uri(model).exists()]
    assert models == [model for _, model in runs[-2:]]  # of the last one, the other is the baseline


def test_the_statistics_that_are_the_baseline_of_drift_stay(out, clean):
    _, (older,) = out.run(("StatisticsGen", "ExampleStatistics"))
    blessed, artifacts = out.run(
        ("StatisticsGen", "ExampleStatistics"),
        ("BaselineStatistics", older),
        ("Evaluator", "ModelBlessing", {"blessed": 1, "current_model_id": 99}),
    )
    _, (other, _) = out.run(
        ("StatisticsGen", "ExampleStatistics"),
        ("Evaluator", "ModelBlessing", {"blessed": 0, "current_model_id": 99}),
    )
    clean(0)
    assert remaining(out) == [blessed]
    assert out.uri(artifacts[0]).is_dir()
    assert out.uri(older).is_dir()  # that of a run of the blessed one's data
    assert not out.uri(other).exists()


def test_baselines_are_those_of_the_resolvers(out, clean):
    """What the strategies of drift and Evaluator resolve is the same before and after."""
    from tfx.types import artifact_utils

    from tfxray.components.evaluator.resolver import LatestOtherBlessedModel
    from tfxray.components.validation.drift import LatestBlessedStatistics

    def live(kind):
        (type_,) = [t for t in out.store.get_artifact_types() if t.name == kind]
        artifacts = out.store.get_artifacts_by_type(kind)
        alive = [a for a in artifacts if a.state == mlmd.Artifact.LIVE]
        return artifact_utils.deserialize_artifacts(type_, alive)

    def resolved():
        models, blessings = live("Model"), live("ModelBlessing")
        for model in [None, models[-1], models[-2]]:
            inputs = {"candidate": [m for m in models if model and m.id == model.id]}
            inputs |= {"model": models, "blessing": blessings, "evaluation": []}
            outputs = LatestOtherBlessedModel().resolve_artifacts(out.store, dict(inputs))
            yield [m.id for m in outputs["model"]]
        for current in [[], live("ExampleStatistics")[-1:]]:
            inputs = {"current": current, "statistics": live("ExampleStatistics")}
            inputs["blessing"] = blessings
            outputs = LatestBlessedStatistics().resolve_artifacts(out.store, inputs)
            yield [a.id for a in outputs["statistics"]]

    for _ in range(4):
        nodes = ("StatisticsGen", "ExampleStatistics"), ("Trainer", "Model")
        _, (statistics, model) = out.run(*nodes)
        blessing = {"blessed": 1, "current_model_id": model}
        out.run(("StatisticsGen", statistics), ("Evaluator", "ModelBlessing", blessing, (model,)))
    before = list(resolved())
    clean(0)
    assert len(live("Model")) == 2
    assert list(resolved()) == before


def test_nothing_is_removed_over_a_link(out, clean, tmp_path):
    old, (model,) = out.run(("Trainer", "Model"))
    out.run(("Trainer", "Model"))
    elsewhere = tmp_path / "elsewhere"
    (out.folder / "artifacts" / "Trainer").rename(elsewhere)
    (out.folder / "artifacts" / "Trainer").symlink_to(elsewhere)
    (out.folder / "runs" / old / "tensorboard").symlink_to(elsewhere)
    (out.folder / "runs" / "20250101-000000-000").symlink_to(tmp_path / "elsewhere")
    (out.folder / "runs" / "notes").mkdir()
    clean(0)
    assert len(list(elsewhere.rglob("file"))) == 2
    assert out.artifact(model).state == mlmd.Artifact.LIVE
    assert remaining(out) == ["20250101-000000-000", "notes"]


def test_records_and_states_go_when_no_run_can_want_them(out, clean):
    for name in ("data/records-old", "data/records-new", "data/sample-9", "state/a", "state/b"):
        (out.folder / name).mkdir(parents=True)
        (out.folder / name / "file").touch()
    records = str(out.folder / "data" / "records-old")
    before = time.mktime((2025, 1, 1, 0, 0, 0, 0, 0, -1))
    for name in ("records-old", "sample-9"):
        for path in (out.folder / "data" / name / "file", out.folder / "data" / name):
            os.utime(path, (before, before))
    for path in (out.folder / "state" / "a" / "file", out.folder / "state" / "a"):
        os.utime(path, (before, before))
    key = out.folder / "data" / "pseudonym.key"
    key.touch()
    out.run(("ExampleGen", "Examples", {"input_base": records}))
    clean(1)
    names = {str(p.relative_to(out.folder)) for p in out.folder.glob("[ds]*/*")}
    assert names == {"data/records-old", "data/records-new", "data/sample-9", "state/b",
                    "data/pseudonym.key"}  # fmt: skip
    settings = json.dumps({"external": {"nih": {"base": records}}})
    out.run(("DataGate", "Verdict", {"settings": settings}))
    clean(1)
    assert (out.folder / "data" / "records-old").exists()
    out.run(("DataGate", "Verdict", {"settings": "{}"}))
    clean(1)
    assert not (out.folder / "data" / "records-old").exists()


def test_half_versions_go_if_their_push_was_killed(out, clean):
    out.run(("Trainer", "Model"))
    base = out.folder / "serving" / "demo"
    for name in ("1795000000", "notes"):
        (base / name).mkdir(parents=True)
    killed = base / ".0123.partial" / "version"
    killed.mkdir(parents=True)
    (killed / "saved_model.pb").write_bytes(b"half")
    with half_versions.make_folder(str(base)) as going_on:
        assert "goes   serving/demo/.0123.partial" in clean(1, "--dry-run")
        assert killed.is_dir()
        clean(1)
        names = {path.name for path in base.iterdir()}
        assert names == {"1795000000", "notes", os.path.basename(going_on)}


def test_a_clock_that_was_set_back_makes_no_state_of_the_newest_run_old(out, clean):
    run, _ = out.run(("Trainer", "Model"))
    later = out.folder / "runs" / "20990101-000000-000"  # its id is later than its files
    (out.folder / "runs" / run).rename(later)
    (out.folder / "state" / "a").mkdir(parents=True)
    clean(1)
    assert later.is_dir()
    assert (out.folder / "state" / "a").is_dir()


def test_a_clean_that_broke_off_is_ended_by_the_next(out, clean, monkeypatch):
    old, (model,) = out.run(("Trainer", "Model"))
    out.run(("Trainer", "Model"))

    def fail(path):
        raise OSError(5, "no more disk")

    monkeypatch.setattr("shutil.rmtree", fail)
    with (
        plan_removal(out.folder, 1, print) as broken,
        pytest.raises(UserError, match="no more disk"),
    ):
        broken()
    assert out.artifact(model).state == mlmd.Artifact.MARKED_FOR_DELETION
    monkeypatch.undo()
    clean(1)
    assert out.artifact(model).state == mlmd.Artifact.DELETED
    assert not out.uri(model).exists()
    assert old not in remaining(out)


def test_nothing_is_removed_while_a_run_goes_on(out, tfxray):
    run, _ = out.run(("Trainer", "Model"))
    with locks.take_turn(out.folder, f"run {run}", print):
        result = tfxray("clean", "--out", out.folder, "--keep", 0)
    assert result.code == 2
    assert re.search(
        rf"run {run} \(process {os.getpid()} on .*, since 20.*\) is at work", result.err
    )
    assert remaining(out) == [run]


def test_a_run_waits_for_the_end_of_a_clean(out):
    waiting, begun = threading.Event(), threading.Event()

    def run():
        with locks.take_turn(out.folder, "tfxray run", lambda line: waiting.set()):
            begun.set()

    with locks.take_turn(out.folder, "tfxray clean", print, wait=False):
        thread = threading.Thread(target=run)
        thread.start()
        assert waiting.wait(10)
        assert not begun.is_set()
    thread.join(10)
    assert begun.is_set()


def test_a_folder_without_a_metadata_store_is_left_alone(tfxray, tmp_path):
    (tmp_path / "runs" / "20260101-000000-000").mkdir(parents=True)
    result = tfxray("clean", "--out", tmp_path, "--keep", 0)
    assert result.code == 2
    assert "holds no metadata.db" in result.err
    assert len(list(tmp_path.rglob("*"))) == 2

"""`tfxray serving`: what was pushed, and the way back to it."""

import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from tests import ramfs  # noqa: F401  ram:// for TFX
from tests.components.pusher.made import files_of, make_model, make_record
from tests.pipeline.runs.made import Out
from tfxray.components.pusher import half_versions, push, rollbacks, versions
from tfxray.pipeline.runs import serving
from tfxray.pipeline.runs.clean import plan_removal

RULES = [
    {"rule": "auc", "passed": True},
    {"rule": "slice_auc", "passed": True},
    {"rule": "slice_auc", "passed": True},
    {"rule": "baseline", "passed": None},
]


class Pushes(Out):
    """Runs that pushed models, as their versions lie in a folder."""

    def __init__(self, folder, base=None):
        super().__init__(folder)
        self.base = base or str(self.folder / "serving" / "demo")

    def push(self, content):
        """A run that pushed a model of this content; returns the version's number."""
        model = make_model(self.folder.parent / f"model-{content.decode()}", content)
        place = push.push_version(str(model), self.base, make_record(model))
        summary = {"status": "pushed", "auc": 0.93, "rules": RULES, "pushed_model": place}
        run_id, model_id = self.trained(summary=summary)
        source = {"data": f"/data/{content.decode()}"}
        (self.folder / "runs" / run_id / "source.json").write_text(json.dumps(source))
        properties = {"pushed": 1, "pushed_destination": place}
        context = self._context("pipeline_run", run_id)
        self._node(context, "Pusher", "PushedModel", properties, (model_id,))
        return int(os.path.basename(place)), model_id, run_id


@pytest.fixture
def out(tmp_path):
    return Pushes(tmp_path / "out")


@pytest.fixture
def command(tfxray, out, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments, code=0):
        done = tfxray("serving", "--out", out.folder, *arguments)
        assert done.code == code, done.err
        assert "Traceback" not in done.err
        return done

    return call


def listed(command):
    return [json.loads(line) for line in command("--json").out.splitlines()]


def rolled_back(command, number):
    return json.loads(command("--rollback", number, "--json").out)


def notes(out):
    pushed = out.store.get_artifacts_by_type("PushedModel")
    return [artifact for artifact in pushed if "copy_of" in artifact.custom_properties]


def test_pushed_versions_are_listed_with_what_they_came_from(out, command):
    (first, _, run_id), (second, _, _) = out.push(b"a"), out.push(b"b")
    older, newer = listed(command)
    assert (older["version"], newer["version"]) == (first, second)
    assert (older["served"], newer["served"]) == (False, True)
    assert older["auc"] == 0.9312
    assert older["auc_interval"] == [0.9011, 0.9523]
    assert (older["images"], older["patients"]) == (60, 40)
    assert (older["run_id"], older["data"]) == (run_id, "/data/a")
    assert older["rules"] == ["auc", "slice_auc"]  # a rule that did not apply blesses nothing
    assert older["checksums"]
    assert older["noted"]
    artifact = out.store.get_artifacts_by_type("PushedModel")[0]
    when = time.localtime(artifact.create_time_since_epoch // 1000)
    assert older["pushed"] == time.strftime("%Y-%m-%d %H:%M:%S", when)
    heading, line, last = command().out.splitlines()
    assert "blessed by" in heading
    assert "0.9312 [0.9011, 0.9523]" in line
    assert "served" in last
    assert "served" not in line


def test_a_rollback_is_the_newest_version_and_noted(out, command):
    first, model, run_id = out.push(b"a")
    second, _, _ = out.push(b"b")
    before = {number: files_of(Path(out.base, str(number))) for number in (first, second)}
    done = command("--rollback", first)
    copy = done.out.strip()
    assert f"a copy of version {first}, is the newest now" in done.err
    assert versions.find_newest(out.base) == versions.Newest(copy, {})
    for number, files in before.items():
        assert files_of(Path(out.base, str(number))) == files
    record = "assets.extra/version.json"
    same = {name: content for name, content in before[first].items() if name != record}
    assert files_of(Path(copy)).items() >= same.items()
    assert json.loads(files_of(Path(copy))[record])["copy_of"] == first
    (note,) = notes(out)
    assert note.uri == copy
    assert note.custom_properties["pushed_destination"].string_value == copy
    assert note.custom_properties["copy_of"].int_value == first
    assert note.custom_properties["model_id"].int_value == model
    # The execution's input is the push of the version that was copied.
    events = out.store.get_events_by_artifact_ids([note.id])
    events = out.store.get_events_by_execution_ids([event.execution_id for event in events])
    (taken,) = [event.artifact_id for event in events if event.type == mlmd.Event.INPUT]
    copied = out.artifact(taken).custom_properties["pushed_destination"].string_value
    assert copied == os.path.join(out.base, str(first))
    assert [c.type for c in out.store.get_contexts_by_artifact(note.id)] == ["pipeline"]
    *_, last = listed(command)
    assert (last["copy_of"], last["served"], last["noted"]) == (first, True, True)
    assert (last["auc"], last["run_id"], last["data"]) == (0.9312, run_id, "/data/a")
    assert f"served; copy of {first}" in command().out.splitlines()[-1]
    assert not [name for name in os.listdir(out.folder) if "lock" in name]


def test_a_reader_that_polls_as_tensorflow_serving_does_always_finds_a_whole_version(out, command):
    numbers = [out.push(content)[0] for content in (b"a", b"b", b"c")]
    whole = {(content * 5000,) * 3 for content in (b"a", b"b", b"c")}
    wrong, polls, served, over = [], [], set(), threading.Event()

    def poll():
        while not over.is_set():
            found = [name for name in os.listdir(out.base) if name.isdecimal()]
            folder = Path(out.base, max(found, key=int))
            names = ("saved_model.pb", "variables/variables.index", "assets.extra/explain.keras")
            try:
                read = tuple((folder / name).read_bytes() for name in names)
            except OSError as error:
                wrong.append(str(error))
                continue
            served.add(folder.name)
            polls.append(folder.name)
            if read not in whole:
                wrong.append(folder.name)

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(poll)
        try:
            for number in (numbers[0], numbers[1], numbers[2], numbers[0]):
                copy = rolled_back(command, number)
                end = time.monotonic() + 10
                while str(copy["version"]) not in served and time.monotonic() < end:
                    time.sleep(0.01)
        finally:
            over.set()
        reader.result()
    assert wrong == []
    assert len(served) == 5  # the last push, and each copy
    assert [int(name) for name in polls] == sorted(int(name) for name in polls)  # never back
    assert len(polls) > 50


def test_what_cannot_be_gone_back_to_is_told(out, command, tmp_path, tfxray):
    first, second = out.push(b"a")[0], out.push(b"b")[0]
    before = sorted(os.listdir(out.base))

    def told(number):
        (line,) = command("--rollback", number, code=2).err.splitlines()
        assert sorted(os.listdir(out.base)) == before
        assert notes(out) == []
        return line

    assert f"holds no version 7; there are: {first}, {second} (--rollback)" in told(7)
    assert f"version {second} is the newest already" in told(second)
    os.truncate(Path(out.base, str(first), "saved_model.pb"), 3)
    assert "damaged: saved_model.pb has 3 bytes instead of 5000" in told(first)
    assert "Invalid value" in command("--rollback", "../1", code=2).err
    assert "no model of this name" in command("--name", "other", code=2).err
    missing = tfxray("serving", "--out", tmp_path / "none", "--rollback", 1)
    assert (missing.code, missing.err) == (
        2,
        f"error: {tmp_path / 'none'}: no such folder (--out)\n",
    )
    empty = tfxray("serving", "--out", Out(tmp_path / "empty").folder)
    assert empty.code == 2
    assert "no model was pushed by the runs of this folder" in empty.err


def test_going_back_twice_makes_one_copy(out, command):
    first = out.push(b"a")[0]
    out.push(b"b")
    copy = rolled_back(command, first)
    told = command("--rollback", first, code=2).err
    assert f"version {copy['version']}, the newest, holds the very model of version {first}" in told
    assert len(notes(out)) == 1


def test_two_rollbacks_at_once_make_one_copy(out):
    first = out.push(b"a")[0]
    out.push(b"b")
    told = []

    def back(_):
        try:
            return serving.roll_back(out.folder, first, None, told.append).version
        except serving.UserError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        came = list(pool.map(back, range(4)))
    (copy,) = [version for version in came if isinstance(version, int)]
    assert all(f"version {copy}, the newest, holds" in t for t in came if isinstance(t, str))
    assert len(versions.list_versions(out.base)) == 3
    assert len(notes(out)) == 1


def kill_at(point):
    """In the process that is to be killed."""

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    if point == "note":
        rollbacks.note_rollback = die
    elif point == "rename":
        push.os.rename = die
    else:
        push._copy = die


@pytest.mark.parametrize("point", ["copy", "rename", "note"])
def test_a_rollback_that_was_killed_is_done_by_the_same_command(out, command, point):
    first, model, _ = out.push(b"a")
    second = out.push(b"b")[0]
    pid = os.fork()
    if not pid:
        try:
            kill_at(point)
            serving.roll_back(out.folder, first, None, lambda line: None)
        finally:
            os._exit(3)  # it should have been killed before
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    newest = versions.find_newest(out.base)
    assert not newest.damaged
    *_, last = listed(command)
    if point == "note":  # the copy is there, whole, and the list says what is missing
        assert (last["copy_of"], last["noted"], last["served"]) == (first, False, True)
        assert "not noted in the store" in command().out
    else:
        assert last["version"] == second
        assert half_versions.list_abandoned(out.base)
    copy = rolled_back(command, first)
    (note,) = notes(out)
    assert note.custom_properties["model_id"].int_value == model
    assert copy["noted"]
    assert len(versions.list_versions(out.base)) == 3
    assert not half_versions.list_abandoned(out.base)


def test_a_full_disk_leaves_what_is_served(out, command, monkeypatch):
    first, second = out.push(b"a")[0], out.push(b"b")[0]

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(push.os, "fsync", full)
        assert "No space left on device" in command("--rollback", first, code=2).err
    assert sorted(os.listdir(out.base)) == [str(first), str(second)]
    assert notes(out) == []

    def no_note(*arguments):
        raise RuntimeError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(rollbacks, "note_rollback", no_note)
        told = command("--rollback", first, code=2).err
    assert "cannot note that version" in told
    assert "disk is full" in told
    assert rolled_back(command, first)["noted"]
    assert len(versions.list_versions(out.base)) == 3


def test_a_store_that_another_program_writes_is_waited_for(out, command):
    """A run that goes on writes often; a rollback does not wait for its end."""
    first = out.push(b"a")[0]
    out.push(b"b")
    database = sqlite3.connect(out.folder / "metadata.db", check_same_thread=False)
    database.execute("BEGIN IMMEDIATE")
    release = threading.Timer(1.5, database.rollback)
    release.start()
    assert rolled_back(command, first)["noted"]
    release.join()


def test_a_store_that_is_lost_or_damaged(out, command):
    first = out.push(b"a")[0]
    out.push(b"b")
    os.truncate(out.folder / "metadata.db", 100)
    assert "clean --new-store" in command("--rollback", first, code=2).err
    assert len(versions.list_versions(out.base)) == 2
    # As after `tfxray clean --new-store`.
    (out.folder / "metadata.db").unlink()
    shutil.rmtree(out.folder / "artifacts")
    older, _ = listed(command)
    assert (older["version"], older["noted"], older["data"]) == (first, False, "/data/a")
    assert rolled_back(command, first)["noted"]


def test_half_hostile_and_foreign_versions_are_not_listed_as_good(out, command):
    good = out.push(b"a")[0]
    base = Path(out.base)
    (base / f".{good + 9}.partial").mkdir()
    (base / "..partial").mkdir()
    (base / "notes").mkdir()
    foreign = make_model(base / "5", b"f")  # of another tool: no checksums
    empty = base / str(good + 5)
    empty.mkdir()
    hostile = base / str(good + 6)
    heldout = {"auc": 1e999, "auc_interval": None, "images": 9, "patients": 9}
    files = {"../../../etc/passwd": {"size": 1, "sha256": "0"}}
    record = {"files": files, "copy_of": good, "heldout": heldout}
    (hostile / "assets.extra").mkdir(parents=True)
    (hostile / "saved_model.pb").write_bytes(b"x")
    (hostile / "assets.extra" / "version.json").write_text(json.dumps(record))
    (hostile / "variables").symlink_to(hostile)  # a circle
    beyond = base / str(good + 7)
    shutil.copytree(base / str(good), beyond)
    path = beyond / "assets.extra" / "version.json"
    path.write_text(path.read_text().replace('"copy_of": null', f'"copy_of": {10**30}'))
    by_number = {version["version"]: version for version in listed(command)}
    assert by_number.pop(good + 7)["damage"] == "assets.extra/version.json cannot be read"
    assert set(by_number) == {5, good, good + 5, good + 6}
    assert not by_number[5]["checksums"]
    assert by_number[5]["damage"] is None
    assert by_number[good]["damage"] is None
    assert by_number[good + 5]["damage"] == "saved_model.pb is missing"
    assert "passwd is missing" in by_number[good + 6]["damage"]
    assert not any(version["served"] for version in by_number.values())
    text = command().out
    assert "no checksums" in text
    assert "damaged" in command("--rollback", good + 6, code=2).err
    # Of what has no checksums, a copy has: of what was copied.
    done = command("--rollback", 5)
    assert "whether it is damaged, nobody can tell" in done.err
    copy = Path(done.out.strip())
    assert [note.uri for note in notes(out)] == [str(copy)]  # nothing that the hostile one claims
    assert files_of(copy).items() >= files_of(foreign).items()
    (last,) = [version for version in listed(command) if version["served"]]
    assert (last["path"], last["auc"], last["checksums"]) == (str(copy), None, True)
    # The good one lies below a damaged one: it can be gone back to, too.
    assert rolled_back(command, good)["served"]


def test_of_several_models_one_is_named(out, command):
    number = out.push(b"a")[0]
    shutil.copytree(out.base, out.folder / "serving" / "other")
    make_model(out.folder / "serving" / "other" / str(number + 1), b"z")
    assert [v["model"] for v in listed(command)] == ["demo", "other", "other"]
    assert command().out.startswith("model")
    assert "demo, other; name one (--name)" in command("--rollback", number, code=2).err
    copy = json.loads(command("--rollback", number, "--name", "other", "--json").out)
    assert (copy["model"], copy["copy_of"]) == ("other", number)


@pytest.mark.parametrize("folder", ["ram://{name}/serving/demo", "{path}/serving/shared"])
def test_a_folder_that_the_config_named(tmp_path, folder, tfxray):
    out = Pushes(tmp_path / "out", folder.format(name=tmp_path.name, path=tmp_path))
    first = out.push(b"a")[0]
    out.push(b"b")
    done = tfxray("serving", "--out", out.folder, "--rollback", first)
    assert done.code == 0, done.err
    assert versions.find_newest(out.base) == versions.Newest(done.out.strip(), {})
    assert len(notes(out)) == 1


def test_a_moved_folder_keeps_its_versions(out, command, tmp_path, tfxray):
    first = out.push(b"a")[0]
    out.push(b"b")
    moved = tmp_path / "moved"
    shutil.move(out.folder, moved)
    done = tfxray("serving", "--out", moved, "--rollback", first, "--json")
    assert done.code == 0, done.err
    copy = json.loads(done.out)
    assert copy["path"].startswith(str(moved))
    assert (copy["noted"], copy["data"]) == (True, "/data/a")


def test_a_clean_keeps_the_run_of_the_model_that_is_served_again(out, command):
    first, model, run_id = out.push(b"a")
    for content in (b"b", b"c", b"d"):
        out.push(content)
    copy = rolled_back(command, first)
    shutil.rmtree(Path(out.base, str(first)))  # by hand: the copy needs the run still
    with plan_removal(out.folder, 0, print) as cleaning:
        assert cleaning.reasons_to_stay[run_id] == f"pushed: serving/demo/{copy['version']}"
        cleaning()
    assert out.uri(model).is_dir()

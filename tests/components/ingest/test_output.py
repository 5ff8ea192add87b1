"""An ingest's output: complete, or made anew."""

import os
import threading
import time

import pytest

from tfxray.components.disk import locks
from tfxray.components.ingest import job, output
from tfxray.components.source import labelling
from tfxray.pipeline import inputs
from tfxray.pipeline.config.loader import load_config

CLASSES = ("NORMAL", "PNEUMONIA")


@pytest.fixture(scope="module")
def records(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ingested") / "records"
    job.ingest(drawn, folder, labelling.Rules(CLASSES), shards=2)
    return folder


def empty_report(folder):
    (folder / "ingest.json").write_bytes(b"")


def no_report(folder):
    (folder / "ingest.json").unlink()


def former_report(folder):
    """As tfxray 0.1.0 wrote it: nobody knows which files belong to it."""
    (folder / "ingest.json").write_text('{"images": 300, "rejected": 0}')


def no_shard(folder):
    next(folder.glob("*.tfrecord")).unlink()


def cut_shard(folder):
    shard = next(folder.glob("*.tfrecord"))
    os.truncate(shard, shard.stat().st_size // 2)


def twice(folder):
    """Two ingests at once left 9,894 records of 5,855 images."""
    shard = next(folder.glob("*.tfrecord"))
    shard.with_name("data-00000-of-00003.tfrecord").write_bytes(shard.read_bytes())


DAMAGES = (empty_report, no_report, former_report, no_shard, cut_shard, twice)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_records_are_not_taken_for_whole(records, damage, tmp_path):
    copy = tmp_path / "records"
    copy.mkdir()
    for file in records.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert output.read_report(str(copy))["images"] == 300
    damage(copy)
    assert output.read_report(str(copy)) is None


def test_rejects_that_were_taken_out_before_records_are_passed_on_are_not_missed(records):
    (records / "rejects.csv").rename(records.parent / "rejects.csv")
    assert output.read_report(str(records))
    (records.parent / "rejects.csv").rename(records / "rejects.csv")


def test_a_run_makes_damaged_records_anew(drawn, small_config, tmp_path):
    def ingest():
        (tmp_path / "out").mkdir(exist_ok=True)
        source, config = inputs.Source(str(drawn), "images"), load_config(small_config)
        return inputs.Ingest(source, config, small_config, tmp_path / "out", tmp_path / "log")

    first = ingest()
    assert not first.cached
    assert first.wait(print)["images"] == 300
    assert ingest().cached
    no_report(tmp_path / "out" / "data" / os.path.basename(first.folder))
    again = ingest()
    assert not again.cached
    assert again.wait(print)["images"] == 300
    assert sorted(os.listdir(tmp_path / "out" / "data")) == [
        "pseudonym.key", os.path.basename(first.folder),
    ]  # fmt: skip


def test_an_ingest_waits_for_another_of_the_same_output(tmp_path):
    out, order = str(tmp_path / "records"), []

    def second():
        with output.hold_partial(out) as partial:
            order.append(("second", os.listdir(partial)))

    with output.hold_partial(out) as partial:
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        output.clear(out)  # takes nothing from whoever is at work
        assert os.path.isdir(partial)
        order.append(("first", os.listdir(partial)))
    thread.join(10)
    assert order == [("first", []), ("second", [])]
    assert os.listdir(tmp_path) == []


def test_what_a_killed_ingest_left_is_removed_by_the_next(tmp_path):
    out = str(tmp_path / "records")
    pid = os.fork()
    if not pid:
        with output.hold_partial(out) as partial:
            with open(os.path.join(partial, ".beside-00000-of-00001"), "w") as file:
                file.write("a patient's name")
            os._exit(9)
    os.waitpid(pid, 0)
    assert os.listdir(tmp_path)
    output.clear(out)
    assert os.listdir(tmp_path) == []


def test_without_locks_two_ingests_do_not_share_a_folder(tmp_path, monkeypatch):
    def no_locks(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    out = str(tmp_path / "records")
    with output.hold_partial(out) as one, output.hold_partial(out) as two:
        assert one != two

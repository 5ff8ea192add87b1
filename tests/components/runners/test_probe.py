"""What the small job looks for, thing by thing; on real workers: tests/test_several_hosts.py."""

import contextlib
import os
import socket

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.runners import probe, worker_check
from tfxray.components.runners.probe import Folder

HERE = probe._wanted([])


def test_nothing_is_wrong_with_this_machine():
    assert worker_check.find_fault(HERE) is None


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"python": "3.99"}, r"run Python 3\.\d+, and this is Python 3.99"),
        (
            {"beam": "9.9.9"},
            r"have Beam 2\.\d+\.\d+, and here is 9.9.9. Install apache-beam==9.9.9",
        ),
        ({"tfxray": "9.9"}, r"have tfxray \d.*, and here is 9.9. Install there"),
        (
            {"sources": HERE["sources"] | {"tfxray.components.transform.gone": "0"}},
            "1 of its modules differ, such as tfxray.components.transform.gone",
        ),
        (
            {"libraries": HERE["libraries"] | {"tensorflow": "1.0"}},
            r"have tensorflow 2\.\S+, and here is tensorflow 1.0",
        ),
        ({"libraries": {"no-such": "1.0"}}, "have no no-such, and here is no-such 1.0"),
    ],
)
def test_another_worker_is_told(wanted, message):
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(worker_check.find_fault(HERE | wanted))


def shown(stack, *folders):
    return HERE | {"folders": [stack.enter_context(probe._shown(f, "probe")) for f in folders]}


def test_folders_that_both_see(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "image.png").write_bytes(b"pixels")
    folders = Folder(str(tmp_path / "in"), "--data"), Folder(str(tmp_path / "out"), "--out", True)
    with contextlib.ExitStack() as stack:
        wanted = shown(stack, *folders)
        assert worker_check.find_fault(wanted) is None
        assert probe._read_answers(wanted) == [socket.gethostname()]
    assert os.listdir(tmp_path / "out") == []


def test_folders_that_workers_see_otherwise(tmp_path, monkeypatch):
    data, out = tmp_path / "in", tmp_path / "out"
    data.mkdir()
    (data / "name_of_a_patient.png").write_bytes(b"pixels")
    with contextlib.ExitStack() as stack:
        wanted = shown(stack, Folder(str(data), "--data"), Folder(str(out), "--out", True))
        (data / "name_of_a_patient.png").write_bytes(b"others")
        told = worker_check.find_fault(wanted)
        assert told.startswith(f"its workers see another folder as {data} (--data). Every worker")
        (data / "name_of_a_patient.png").unlink()
        told = worker_check.find_fault(wanted)
        assert told.startswith(f"its workers do not see {data} (--data): No such file")
        assert "patient" not in told
        (data / "name_of_a_patient.png").write_bytes(b"pixels")
        with monkeypatch.context() as patch:
            patch.setattr("tfxray.components.disk.durable.write_file", refuse)
            told = worker_check.find_fault(wanted)
        assert told == f"its workers cannot write into {out} (--out): Permission denied. Let them"
        monkeypatch.setattr(probe, "_APPEARING", 0.0)
        with pytest.raises(UserError, match="what workers wrote does not appear here"):
            probe._read_answers(wanted)


def test_a_folder_that_this_machine_cannot_use(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "gone")
    told = f"{tmp_path}: a file there cannot be read: No such file or directory (--data)"
    with contextlib.ExitStack() as stack, pytest.raises(UserError) as caught:
        shown(stack, Folder(str(tmp_path), "--data"))
    assert str(caught.value) == told
    with contextlib.ExitStack() as stack, pytest.raises(UserError, match="cannot be written"):
        shown(stack, Folder(str(tmp_path / "link.png" / "out"), "--out", True))


def refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_dataflow_sees_buckets_alone(tmp_path):
    options = ["--runner=DataflowRunner", "--sdk_container_image=i", "--project=p"]
    assert probe.check_workers(options, [Folder("gs://b/in", "--data")]) == []
    with pytest.raises(UserError, match=r"Dataflow's workers see gs:// alone.*\(--out\)"):
        probe.check_workers(options, [Folder(str(tmp_path), "--out", True)])


def test_this_machine_is_not_looked_at():
    for options in ([], ["--runner=DirectRunner"], ["--direct_running_mode=multi_processing"]):
        assert probe.check_workers(options, [Folder("/none", "--out", True)]) == []


def test_a_job_that_fails_otherwise_is_told_by_its_last_line():
    told = probe._describe("Traceback (most recent call last):\n  File\nValueError: no jar\n", "x")
    assert told == "a small job on the cluster failed: ValueError: no jar"
    assert probe._describe("", "x").endswith("for no reason told")
    given_up = (
        "IllegalStateException: Cannot call methods on a stopped SparkContext.\n\na.B.c(B.java:1)"
    )
    assert probe._describe(given_up, "x").startswith("the Spark cluster gave up a small job: its")

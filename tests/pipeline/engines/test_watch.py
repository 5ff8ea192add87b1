"""How far a node is in reading its examples."""

import logging
import sys
import time

import pytest

from tfxray.components.common import progress
from tfxray.pipeline.engines import watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def examples(tmp_path):
    for split, size in {"train": 60_000, "eval": 20_000, "test": 20_000}.items():
        folder = tmp_path / f"Split-{split}"
        folder.mkdir()
        (folder / "data-00000-of-00001.gz").write_bytes(b"x" * size)
    return tmp_path


def test_the_splits_of_a_node_have_their_share(examples):
    files, share = watch.split_share(str(examples), watch.SPLITS["Transform"])
    assert sorted(files.values()) == [20_000, 60_000]
    assert share == pytest.approx(0.8)
    assert watch.split_share(str(examples / "nowhere"), ("train",)) == ({}, 0.0)


def test_what_is_read_is_told(examples, monkeypatch, caplog):
    monkeypatch.setattr(watch, "_EVERY", 0.02)
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    caplog.set_level(logging.INFO, logger=progress.LOGGER)
    files, _ = watch.split_share(str(examples), watch.SPLITS["Transform"])

    def lines_after(action):
        action()
        caplog.clear()
        end = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < end:
            time.sleep(0.02)
        return caplog.messages[0]

    train, held_out = (open(path, "rb", buffering=0) for path in files)  # noqa: SIM115
    with train, held_out, watch.watch_reading(files, 800):
        train.read(30_000)  # is being worked on
        time.sleep(0.2)
        assert caplog.messages == []
        assert lines_after(lambda: train.read()).startswith("about 300 of 800 images, ")
        train.close()  # it was read
        assert lines_after(lambda: held_out.read(10_000)).startswith("about 600 of 800 images, ")
        assert lines_after(lambda: held_out.read()).startswith("about 700 of 800 images, ")


def test_nothing_to_read_tells_nothing(examples, caplog):
    caplog.set_level(logging.INFO, logger=progress.LOGGER)
    with watch.watch_reading({}, 0):
        pass
    assert caplog.messages == []

"""The pseudonyms' key: whole or not there, and never another one under the same records."""

import errno
import os
import threading

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.ingest import pseudonym

DAMAGED = {"empty": b"", "cut": b"0f3a", "of zeros": bytes(64), "blank": b" \n" * 20}


@pytest.fixture(autouse=True)
def no_key_given(monkeypatch):
    monkeypatch.delenv(pseudonym.VARIABLE, raising=False)


def test_a_full_disk_leaves_no_key(tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        pseudonym.find_key(str(tmp_path))
    assert os.listdir(tmp_path) == []
    monkeypatch.undo()
    key = pseudonym.find_key(str(tmp_path))
    assert (len(key), pseudonym.find_key(str(tmp_path))) == (64, key)


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_key_is_made_anew_where_nothing_was_made_with_it(tmp_path, content):
    (tmp_path / pseudonym.FILE).write_bytes(content)
    key = pseudonym.find_key(str(tmp_path))
    assert len(key) == 64
    assert (tmp_path / pseudonym.FILE).read_bytes() == key
    assert (tmp_path / pseudonym.FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_key_beside_records_is_named_with_the_remedy(tmp_path, content):
    (tmp_path / pseudonym.FILE).write_bytes(content)
    (tmp_path / "records-1").mkdir()
    (tmp_path / "records-1" / "ingest.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        pseudonym.find_key(str(tmp_path))
    text = str(caught.value)
    for words in (str(tmp_path / pseudonym.FILE), "records-1", "from a copy", "remove the file"):
        assert words in text
    assert (tmp_path / pseudonym.FILE).read_bytes() == content
    (tmp_path / pseudonym.FILE).unlink()  # as the message says
    assert len(pseudonym.find_key(str(tmp_path))) == 64


def test_ingests_that_begin_together_have_one_key(tmp_path):
    everybody = threading.Barrier(8)
    keys = []

    def find():
        everybody.wait()
        keys.append(pseudonym.find_key(str(tmp_path)))

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert os.listdir(tmp_path) == [pseudonym.FILE]


def test_a_binary_key_of_ones_own_is_taken_as_it_is(tmp_path):
    key = b"\x00" + bytes(range(1, 30)) + b"\x00"
    (tmp_path / pseudonym.FILE).write_bytes(key)
    assert pseudonym.find_key(str(tmp_path)) == key.strip()

"""Files of `s3://`, on a real server."""

import os
import threading

import pytest

from tests import seaweed
from tests.conftest import set_s3
from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.object_store import s3, streams

NAMES = ["a b/ü+%&=?#.png", "empty", "big"]


@pytest.fixture
def folder(bucket):
    filesystem.write_file(f"{bucket}/in/{NAMES[0]}", b"hello")
    filesystem.write_file(f"{bucket}/in/empty", b"")
    filesystem.write_file(f"{bucket}/inside", b"of no concern")
    return f"{bucket}/in"


def test_what_is_written_is_listed_and_read(folder):
    assert filesystem.list_names(folder) == sorted(NAMES[:2])
    assert filesystem.measure_files(folder) == {NAMES[0]: 5, "empty": 0}
    assert filesystem.is_folder(folder)
    assert not filesystem.is_folder(f"{folder}/a")
    assert filesystem.is_file(f"{folder}/empty")
    assert not filesystem.is_file(folder)
    for name, content in ((NAMES[0], b"hello"), ("empty", b"")):
        with filesystem.open_file(f"{folder}/{name}") as file:
            assert file.read() == content
            assert file.read() == b""


def test_a_large_object_goes_in_parts_and_is_read_from_anywhere(folder, monkeypatch):
    monkeypatch.setattr(streams, "_PART", 5 * 2**20)
    block = os.urandom(2**20)
    with filesystem.create_file(f"{folder}/big") as file:
        for number in range(12):
            file.write(bytes([number]) + block)
        assert file.tell() == 12 * (2**20 + 1)
        assert not filesystem.is_file(f"{folder}/big")
    size = 12 * (2**20 + 1)
    assert filesystem.measure_files(folder)["big"] == size
    with filesystem.open_file(f"{folder}/big") as file:
        assert file.seek(5 * (2**20 + 1)) == 5 * (2**20 + 1)
        assert file.read(3) == bytes([5]) + block[:2]
        file.seek(-2, os.SEEK_END)
        assert file.read() == block[-2:]
        assert file.tell() == size
        file.seek(0)
        assert file.read() == b"".join(bytes([n]) + block for n in range(12))


def test_what_is_not_finished_is_not_there(folder, monkeypatch):
    monkeypatch.setattr(streams, "_PART", 5 * 2**20)

    def write():
        with filesystem.create_file(f"{folder}/big") as file:
            file.write(bytes(6 * 2**20))
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert not filesystem.is_file(f"{folder}/big")
    # Nor does the store keep the parts, for which it would ask money.
    uploads = s3.client().list_multipart_uploads(Bucket=seaweed.BUCKET)
    assert not uploads.get("Uploads")


def test_a_folder_takes_the_place_of_another(folder, bucket):
    filesystem.write_file(f"{bucket}/out/former", b"")
    filesystem.write_file(f"{bucket}/out/empty", b"former")
    filesystem.move_folder(folder, f"{bucket}/out", last="empty")
    assert filesystem.list_names(f"{bucket}/out") == sorted(NAMES[:2])
    assert filesystem.list_names(folder) == []
    with filesystem.local_copy(f"{bucket}/out/empty") as copy:
        assert os.path.getsize(copy) == 0
    filesystem.remove_folder(f"{bucket}/out")
    assert filesystem.list_names(bucket) == ["inside"]


def test_more_objects_than_a_page_holds(bucket):
    names = [f"many/{number:04}" for number in range(1005)]  # of a page, 1,000
    threads = [
        threading.Thread(
            target=lambda own: [filesystem.write_file(f"{bucket}/{n}", b"x") for n in own],
            args=(names[part::8],),
        )
        for part in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert filesystem.list_names(bucket) == names
    assert len(filesystem.list_files(bucket, limit=3)) == 3
    filesystem.remove_folder(f"{bucket}/many")
    assert filesystem.list_names(bucket) == []


def test_all_threads_of_a_process_share_one_client(bucket):
    clients = []
    threads = [threading.Thread(target=lambda: clients.append(s3.client())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(client) for client in clients} == {id(s3.client())}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://xrays/none", "no such object"),
        ("s3://nowhere/none", "no such bucket"),
        ("s3://Not_A_Bucket!/none", "no name of a bucket"),
        ("s3://xrays", "names no object"),
        ("s3://", "names no bucket"),
    ],
)
def test_what_is_not_there_is_named(bucket, url, reason):
    with pytest.raises(OSError, match=reason) as error:
        filesystem.open_file(url)
    assert error.value.filename == url
    assert "\n" not in error.value.strerror


def test_who_may_only_read_can_read_and_no_more(folder, s3_server, monkeypatch):
    set_s3(monkeypatch, s3_server.environment(seaweed.READER))
    assert filesystem.list_names(folder) == sorted(NAMES[:2])
    with pytest.raises(PermissionError, match=r"access denied \(AccessDenied\)"):
        filesystem.write_file(f"{folder}/new", b"")
    with pytest.raises(PermissionError, match="access denied"):
        filesystem.remove_files(folder, ["empty"])
    assert filesystem.list_names(folder) == sorted(NAMES[:2])


def test_wrong_credentials_are_told_once_without_the_secret(folder, s3_server, monkeypatch):
    settings = s3_server.environment((seaweed.OWNER[0], "another secret"))
    set_s3(monkeypatch, settings)
    with pytest.raises(UserError, match=r"the credentials are wrong, or have expired") as error:
        filesystem.list_files(folder)
    assert "AWS_SECRET_ACCESS_KEY" in str(error.value)
    assert "another secret" not in str(error.value)


def test_no_credentials_and_no_profile_are_told(s3_server, monkeypatch, tmp_path):
    nothing = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": s3_server.endpoint}
    files = {f"AWS_{name}_FILE": str(tmp_path / name) for name in ("CONFIG", "SHARED_CREDENTIALS")}
    set_s3(monkeypatch, nothing | files)
    with pytest.raises(OSError, match="no credentials: set AWS_ACCESS_KEY_ID"):
        filesystem.open_file("s3://xrays/a")
    set_s3(monkeypatch, nothing | files | {"AWS_PROFILE": "another"})
    with pytest.raises(OSError, match=r"no such profile \(AWS_PROFILE\)"):
        filesystem.open_file("s3://xrays/a")


def test_a_profile_says_all_that_the_environment_can(folder, s3_server, monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        f"[profile lab]\nregion = us-east-1\nendpoint_url = {s3_server.endpoint}\n"
        f"aws_access_key_id = {seaweed.OWNER[0]}\naws_secret_access_key = {seaweed.OWNER[1]}\n"
    )
    set_s3(monkeypatch, {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "lab"})
    assert filesystem.list_names(folder) == sorted(NAMES[:2])

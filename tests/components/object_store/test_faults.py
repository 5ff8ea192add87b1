"""What an S3 server, or the way to it, may do wrong: tried again within a limit, told in a line."""

import os
import time

import pytest

from tests import s3_faults
from tests.conftest import set_s3
from tfxray.components.common import filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.object_store import s3
from tfxray.components.object_store.files import StoreFailed

CONTENT = os.urandom(300_000)


@pytest.fixture
def proxy(bucket, s3_server, monkeypatch):
    """A server that may be disturbed, and that holds an object."""
    filesystem.write_file(f"{bucket}/a", CONTENT)
    monkeypatch.setattr(s3, "_PATIENCE", 4)
    monkeypatch.setattr(s3, "_SILENCE", 1)
    with s3_faults.between(s3_server.endpoint) as server:
        set_s3(monkeypatch, s3_server.environment() | {"AWS_ENDPOINT_URL": server.url})
        yield server


def read(url="s3://xrays/a"):
    with filesystem.open_file(url) as file:
        return file.read()


def first(count, disturb):
    """Disturbs so many requests, and lets the others through."""
    left = [count]

    def now(handler):
        left[0] -= 1
        return left[0] >= 0 and disturb(handler)

    return now


def cut(handler, sent=100_000):
    handler.send_answer(*handler.ask(), sent=sent)
    return True


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")]
)
def test_a_busy_store_is_asked_again(proxy, status, code):
    proxy.disturb = first(2, lambda handler: handler.refuse(status, code))
    assert read() == CONTENT
    proxy.disturb = first(2, lambda handler: handler.refuse(status, code))
    filesystem.write_file("s3://xrays/b", CONTENT)
    assert [file.size for file in filesystem.list_files("s3://xrays")] == [300_000, 300_000]


def test_a_store_that_stays_busy_is_given_up_in_time(proxy):
    proxy.disturb = lambda handler: handler.refuse(503, "SlowDown")
    start = time.monotonic()
    with pytest.raises(StoreFailed) as error:
        read()
    assert time.monotonic() - start < 15
    assert "is too busy (503 SlowDown), " in error.value.strerror
    assert " tries in " in error.value.strerror
    assert "secret-of-the-store" not in str(error.value)
    with pytest.raises(UserError, match=r"cannot be listed: .* is too busy"):
        filesystem.list_files("s3://xrays")
    with pytest.raises(UserError, match="is too busy"):
        filesystem.is_file("s3://xrays/a")


def test_what_no_other_try_mends_is_not_tried_again(proxy):
    proxy.disturb = lambda handler: handler.refuse(403, "AccessDenied")
    with pytest.raises(PermissionError):
        read()
    assert len(proxy.requests) == 1


def test_a_connection_that_is_cut_is_taken_up_where_it_broke(proxy):
    proxy.disturb = first(2, cut)
    assert read() == CONTENT
    assert len(proxy.requests) == 3


def test_a_connection_that_is_cut_each_time_is_given_up(proxy):
    proxy.disturb = lambda handler: cut(handler, 0)
    with pytest.raises(StoreFailed, match=r"the connection to .* broke, .* tries in"):
        read()


def test_an_object_that_changes_while_it_is_read_is_told(proxy, bucket):
    def replaced(handler):
        cut(handler)
        proxy.disturb = lambda _: False
        filesystem.write_file(f"{bucket}/a", CONTENT[::-1])
        return True

    proxy.disturb = replaced
    with pytest.raises(OSError, match="was replaced while it was read"):
        read()


def test_a_slow_store_is_waited_for_and_a_silent_one_is_not(proxy):
    def slow(handler):
        handler.send_answer(*handler.ask(), pause=0.01)
        return True

    def silent(handler):
        time.sleep(4)
        return True

    proxy.disturb = slow
    assert read() == CONTENT
    proxy.disturb = silent
    start = time.monotonic()
    with pytest.raises(StoreFailed, match="stopped answering"):
        read()
    assert time.monotonic() - start < 15


def test_content_that_is_damaged_on_its_way_is_told(proxy):
    def damage(handler):
        status, headers, content = handler.ask()
        handler.send_answer(status, headers, b"\0" * len(content))
        return True

    proxy.disturb = damage
    if not any(name.lower().startswith("x-amz-checksum") for name in _headers()):
        pytest.skip("the server keeps no checksums")
    with pytest.raises(OSError, match="damaged on its way"):
        read()


def _headers():
    answer = s3.client().get_object(Bucket="xrays", Key="a", ChecksumMode="ENABLED")
    return answer["ResponseMetadata"]["HTTPHeaders"]


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://someone:hidden@127.0.0.1:1", "http://127.0.0.1:1 cannot be reached"),
        ("http://nowhere.invalid", "cannot be reached"),
        ("127.0.0.1:1", "does not answer as S3 does"),
        ("https://{address}", "TLS failed"),
    ],
)
def test_a_wrong_address_is_named(proxy, s3_server, monkeypatch, endpoint, reason):
    endpoint = endpoint.format(address=proxy.url.removeprefix("http://"))
    set_s3(monkeypatch, s3_server.environment() | {"AWS_ENDPOINT_URL": endpoint})
    with pytest.raises(StoreFailed, match=reason) as error:
        read()
    assert "AWS_ENDPOINT_URL" in error.value.strerror
    assert "hidden" not in str(error.value)


def test_a_server_that_is_none_of_s3_is_told(proxy):
    proxy.disturb = lambda handler: handler.send_answer(200, {}, b"<html>hello</html>") or True
    with pytest.raises(UserError, match="does not answer as S3 does"):
        filesystem.list_files("s3://xrays")

"""Where runs are recorded, and that a node is worked on by one process at a time."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pymysql
import pytest

from tests import mariadb
from tfxray.components.common.errors import UserError
from tfxray.pipeline.config import metadata_address
from tfxray.pipeline.runs import store

# Says when it has the lock; publishes when it is told to, as far as the fence lets it.
WORKER = """
import sys
from tfxray.pipeline.runs import store
store._LOOK_EVERY = 0.2
with store.hold_work(store.connection_config(sys.argv[1]), "run/node", print) as fence:
    print("mine", flush=True)
    sys.stdin.readline()
    fence()
    print("published", flush=True)
"""


@pytest.mark.parametrize(
    "address",
    ["mysql://host/db", "mysql://user@host", "sqlite://metadata.db", "/metadata.db", "mysql://u:p@h/d"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UserError, match=r"--metadata"):
        store.connection_config(address)


def test_the_password_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv(metadata_address.PASSWORD, "p@ss:w/rd")
    address = store.connection_config("mysql://me@db.example:3307/runs?ca=/etc/ca.pem").mysql
    assert (address.host, address.port, address.database) == ("db.example", 3307, "runs")
    assert (address.user, address.password) == ("me", "p@ss:w/rd")
    assert address.ssl_options.ca == "/etc/ca.pem"
    local = store.connection_config("sqlite:///runs/metadata.db")
    assert local.sqlite.filename_uri == "/runs/metadata.db"


@pytest.fixture(scope="module")
def server():
    folder = Path(tempfile.mkdtemp(prefix="db-"))
    with mariadb.started(folder) as address:
        yield address


@pytest.fixture(params=["sqlite", "mysql"])
def address(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'metadata.db'}"
    return request.getfixturevalue("server")


@contextlib.contextmanager
def worker(address):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, address],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, metadata_address.PASSWORD: mariadb.PASSWORD, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_second_waits_and_goes_on_when_the_first_is_killed(address):
    with worker(address) as first:
        assert first.stdout.readline() == "mine\n"
        with worker(address) as second:
            assert "another process is at it" in second.stdout.readline()
            first.send_signal(signal.SIGKILL)
            assert second.stdout.readline() == "mine\n"
            out, _ = second.communicate("\n")
            assert out == "published\n"
            assert second.returncode == 0


def test_who_lost_the_lock_publishes_nothing(server):
    with worker(server) as first:
        assert first.stdout.readline() == "mine\n"
        _cut_off(server)  # as when the network is gone: another one may take over
        with worker(server) as second:
            assert second.stdout.readline() == "mine\n"
            out, errors = first.communicate("\n", timeout=120)
            assert out == ""
            assert first.returncode == 1
            assert "the lock was lost; ending, nothing published" in errors
            assert second.communicate("\n")[0] == "published\n"


def _cut_off(address: str) -> None:
    port = int(address.rsplit(":", 1)[1].split("/")[0])
    connected = pymysql.connect(
        host="127.0.0.1", port=port, user="tfxray", password=mariadb.PASSWORD
    )
    with connected, connected.cursor() as cursor:
        cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE ID != CONNECTION_ID()")
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number}")
    time.sleep(0.1)

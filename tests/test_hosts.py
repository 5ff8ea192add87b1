"""The hosts of the tests are hosts: other code relies on what is said here."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests import hosts


@pytest.fixture(scope="module")
def pair():
    with hosts.network("one", "two") as made:
        yield made


def test_a_host_has_a_name_and_a_loopback_of_its_own(pair, tmp_path):
    one, two = pair
    server = two.start(sys.executable, "-m", "http.server", "8000", log=tmp_path / "server")
    two.wait_for_port(8000, server)
    ask = "import socket, sys; print(socket.gethostname(), socket.getfqdn()); " \
        "socket.create_connection((sys.argv[1], 8000))"  # fmt: skip
    assert one.run(sys.executable, "-c", ask, "two", log=tmp_path / "named") == 0
    assert (tmp_path / "named").read_text() == "one one\n"
    assert one.run(sys.executable, "-c", ask, "localhost", log=tmp_path / "local") == 1
    assert "Connection refused" in (tmp_path / "local").read_text()


def test_a_kill_takes_the_children_too(pair, tmp_path):
    beats = tmp_path / "beats"
    shell = pair[0].start(
        "sh", "-c", f"while date >> {beats}; do sleep 0.05; done & wait", log=tmp_path / "log"
    )
    while not beats.exists():
        time.sleep(0.05)
    shell.kill()
    shell.wait()
    time.sleep(0.1)
    before = beats.read_text()
    time.sleep(0.3)
    assert beats.read_text() == before


def test_a_folder_can_be_kept_from_a_host(pair, tmp_path):
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "file").touch()
    log = tmp_path / "log"
    assert pair[0].run("ls", tmp_path / "seen", log=log, without=tmp_path / "seen") == 0
    assert log.read_text() == ""
    assert os.listdir(tmp_path / "seen") == ["file"]


def test_nothing_is_left(tmp_path):
    with hosts.network("gone") as (gone,):
        process = gone.start("sleep", "60", log=tmp_path / "log")
        assert Path("/run/netns", gone.namespace).exists()
    assert process.poll() is not None
    assert not Path("/run/netns", gone.namespace).exists()
    assert not Path("/etc/netns", gone.namespace).exists()
    assert not Path("/sys/class/net", gone.namespace.partition("-")[0]).exists()

"""A MariaDB of the tests' own, on loopback."""

import contextlib
import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

PASSWORD = "tests' own"


@contextlib.contextmanager
def started(folder: Path) -> Iterator[str]:
    """Starts a server with an empty database.

    Args:
        folder: For its files; short, since the socket's path may have 107 characters only.

    Yields:
        Its address, as `--metadata` takes it; the password is `PASSWORD`.
    """
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    if server is None or shutil.which("mariadb-install-db") is None:
        pytest.skip("no MariaDB (apt-get install mariadb-server): not run over a real database")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = [f"--datadir={folder / 'data'}", f"--user={getpass.getuser()}"]
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", *own, "--skip-test-db"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    process = subprocess.Popen(
        [server, "--no-defaults", *own, f"--socket={folder / 'socket'}", f"--port={port}",
         "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with _connected(folder / "socket") as root, root.cursor() as cursor:
            cursor.execute("CREATE DATABASE tfxray")
            cursor.execute("CREATE USER tfxray@'%%' IDENTIFIED BY %s", (PASSWORD,))
            cursor.execute("GRANT ALL ON tfxray.* TO tfxray@'%'")
        yield f"mysql://tfxray@127.0.0.1:{port}/tfxray"
    finally:
        process.terminate()
        process.wait(30)


def _connected(place: Path) -> pymysql.Connection:
    for _ in range(150):
        with contextlib.suppress(pymysql.Error, OSError):
            return pymysql.connect(unix_socket=str(place), user=getpass.getuser())
        time.sleep(0.2)
    raise RuntimeError("MariaDB did not start")

"""Where runs are recorded: the metadata store by its address, and who may work on a node."""

import contextlib
import fcntl
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tfxray.components.common.errors import UserError
from tfxray.pipeline.config.metadata_address import PASSWORD, check_address

# Seconds. The server drops a client that is silent for the last of them, and its lock with it.
_LOOK_EVERY, _SILENCE = 20, 180


def connection_config(address: str) -> Any:
    """How MLMD connects.

    Args:
        address: See `ALLOWED`; the password comes from the environment.

    Returns:
        An `ml_metadata` `ConnectionConfig`.

    Raises:
        UserError: It is no address.
    """
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    try:
        parts = urlsplit(check_address(address))
    except ValueError as error:
        raise UserError(f"{address}: {error} (--metadata)") from None
    config = mlmd.ConnectionConfig()
    if parts.scheme == "sqlite":
        config.sqlite.filename_uri = parts.path
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config
    config.mysql.host, config.mysql.port = parts.hostname, parts.port or 3306
    config.mysql.database, config.mysql.user = parts.path[1:], unquote(parts.username or "")
    config.mysql.password = os.environ.get(PASSWORD, "")
    for authority in parse_qs(parts.query).get("ca", []):
        config.mysql.ssl_options.ca = authority
    return config


@contextlib.contextmanager
def hold_work(
    connection: Any, work: str, say: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Waits until no other process does some work, and keeps others from it.

    The database's own lock, since it ends with the connection that holds it: a process that is
    killed leaves nothing behind that somebody would have to clear away.

    Args:
        connection: The metadata store.
        work: What is done; the same for all who do it.
        say: Told when there is somebody to wait for.

    Yields:
        A fence, to be called before what was done is published: it ends this process when the
        lock is lost, since another one may be at work already.
    """
    digest = hashlib.sha256(work.encode())
    if connection.WhichOneof("config") == "mysql":
        name = f"tfxray-{digest.hexdigest()[:32]}"  # MySQL takes 64 characters
        lock: Any = _ServerLock(connection.mysql, name, work)
    else:
        place = int.from_bytes(digest.digest()[:7], "big")
        lock = _FileLock(f"{connection.sqlite.filename_uri}.lock", place)
    if not lock.take(0):
        say(f"{work}: another process is at it; waiting for its end")
        while not lock.take(10):
            pass
    try:
        yield lock.demand
    finally:
        lock.release()


class _FileLock:
    """One byte of a file beside SQLite's, which is on one machine's disk."""

    def __init__(self, path: str, place: int):
        self._file, self._place = open(path, "ab"), place  # noqa: SIM115

    def take(self, seconds: int) -> bool:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._place)
                return True
            except OSError:
                if time.monotonic() >= end:
                    return False
                time.sleep(0.2)

    def demand(self) -> None:
        """The kernel takes it from nobody."""

    def release(self) -> None:
        self._file.close()


class _ServerLock:
    """MySQL's and MariaDB's `GET_LOCK`; looked after by a thread."""

    def __init__(self, server: Any, name: str, work: str):
        self._server, self._name, self._work = server, name, work
        self._one_at_a_time = threading.Lock()
        self._over = threading.Event()
        self._connection = self._connect()
        self._watch: threading.Thread | None = None

    def _connect(self) -> Any:
        import pymysql

        server = self._server
        authority = server.ssl_options.ca
        return pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
            autocommit=True,
            connect_timeout=20,
            read_timeout=60,
            init_command=f"SET SESSION wait_timeout = {_SILENCE}",
            ssl={"ca": authority} if authority else None,
        )

    def _ask(self, query: str, *values: object) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchone()[0]

    def take(self, seconds: int) -> bool:
        if self._ask("SELECT GET_LOCK(%s, %s)", self._name, seconds) != 1:
            return False
        self._watch = threading.Thread(target=self._look_after, daemon=True)
        self._watch.start()
        return True

    def _look_after(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self.demand()

    def demand(self) -> None:
        """Ends the process unless the lock is this one's, or can be had again."""
        with self._one_at_a_time:
            if self._over.is_set() or self._is_held():
                return
            print(f"{self._work}: the lock was lost; ending, nothing published", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)  # at once, from any thread: nothing more may be published

    def _is_held(self) -> bool:
        import pymysql

        query = "SELECT IS_USED_LOCK(%s) = CONNECTION_ID()"
        with contextlib.suppress(pymysql.Error):
            return bool(self._ask(query, self._name) == 1)
        return False

    def release(self) -> None:
        with self._one_at_a_time:
            self._over.set()
            with contextlib.suppress(Exception):
                self._connection.close()

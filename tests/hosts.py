"""Hosts for tests: network namespaces, each with an address, a name and a hosts file of its own.

A process of one host reaches another by its name, and never by `localhost`. Disk, memory and users
are this machine's.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_TOOLS = ("ip", "mount", "setpriv", "unshare")
_POOL = "apache_beam.runners.worker.worker_pool_main"


@dataclass(frozen=True)
class Host:
    """A host; `network` makes it."""

    name: str
    address: str
    namespace: str
    _processes: list[subprocess.Popen] = field(default_factory=list, repr=False)

    def start(
        self,
        *command: object,
        log: Path,
        env: Mapping[str, str] = os.environ,
        without: Path | None = None,
    ) -> subprocess.Popen:
        """Starts a command on this host.

        `kill()` ends it with all its children, as a power cut would; `terminate()` does nothing.
        Both end with this process, too.

        Args:
            command: The program and its arguments.
            log: Gets stdout and stderr.
            env: The environment.
            without: A folder of this machine that the command finds empty.
        """
        # The process is the first of a namespace of its own: with it, all others there are killed.
        hidden = f"mount -t tmpfs none '{without}' && " if without else ""
        with log.open("ab") as out:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.namespace,
                 "unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
                 f'{hidden}hostname "$0" && exec "$@"', self.name, *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=dict(env),
            )  # fmt: skip
        self._processes.append(process)
        return process

    def run(self, *command: object, log: Path, **settings: object) -> int:
        """Runs a command to its end; returns its exit code. The rest is as in `start`."""
        return self.start(*command, log=log, **settings).wait()

    def start_pool(
        self,
        *,
        log: Path,
        port: int = 50000,
        python: str = sys.executable,
        env: Mapping[str, str] = os.environ,
        without: Path | None = None,
        wait: bool = True,
    ) -> subprocess.Popen:
        """Starts a pool of Beam's SDK workers.

        Args:
            log: Gets what the pool and its workers print.
            port: The pool's.
            python: Runs the pool and its workers.
            env: The environment.
            without: As in `start`.
            wait: Until it answers.
        """
        # The pool starts what `python` is on its path.
        path = f"{Path(python).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
        pool = self.start(
            *(python, "-m", _POOL, f"--service_port={port}"),
            log=log, env={**env, "PATH": path}, without=without,
        )  # fmt: skip
        if wait:
            self.wait_for_port(port, pool)
        return pool

    def wait_for_port(self, port: int, process: subprocess.Popen, seconds: float = 180) -> None:
        """Waits until a process of this host listens at a port.

        Raises:
            RuntimeError: It ended, or the time is up.
        """
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection((self.address, port), 1):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name}: nothing listens at port {port}: {process.args}")


@contextlib.contextmanager
def network(*names: str) -> Iterator[list[Host]]:
    """Makes hosts that see each other, and this machine sees them by their addresses.

    Skips the test where the machine does not allow it.

    Args:
        names: The hosts' names, by which they find each other.

    Yields:
        The hosts, in the order of the names. At the end, all that runs on them is killed.
    """
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() or missing:
        why = f"no {', '.join(missing)}" if missing else "not root"
        pytest.skip(f"{why}: no hosts of their own for the tests")
    with contextlib.ExitStack() as made:
        bridge, subnet = _bridge()
        made.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{subnet}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        hosts = [Host(n, f"{subnet}.{i}", f"{bridge}-{n}") for i, n in enumerate(names, start=10)]
        listed = "".join(f"{host.address} {host.name}\n" for host in hosts)
        for host in hosts:
            made.callback(_remove, host)
            _make(host, bridge, f"127.0.0.1 localhost\n{listed}")
        yield hosts


def _bridge() -> tuple[str, str]:
    """A bridge, and the first three numbers of its addresses. Its name keeps other tests off."""
    for number in range(1, 255):
        bridge = f"txr{number}"
        done = subprocess.run(
            ["ip", "link", "add", bridge, "type", "bridge"], capture_output=True, text=True
        )
        if done.returncode == 0:
            return bridge, f"10.77.{number}"
        if "File exists" not in done.stderr:
            pytest.skip(f"{done.stderr.strip()}: no hosts of their own for the tests")
    raise RuntimeError("254 networks of tests are left over: ip -br link show type bridge")


def _make(host: Host, bridge: str, listed: str) -> None:
    """Makes a host, with a link to the bridge."""
    _ip("netns", "add", host.namespace)
    # What lies there stands in the place of the machine's file: see ip-netns(8).
    folder = Path("/etc/netns", host.namespace)
    folder.mkdir(parents=True, exist_ok=True)  # of a test that was killed
    (folder / "hosts").write_text(listed)
    port = f"{bridge}p{host.address.rpartition('.')[2]}"
    inner = ("peer", "name", "eth0", "netns", host.namespace)
    _ip("link", "add", port, "type", "veth", *inner)
    _ip("link", "set", port, "master", bridge, "up")
    _ip("-n", host.namespace, "link", "set", "lo", "up")
    _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host.namespace, "link", "set", "eth0", "up")


def _remove(host: Host) -> None:
    """Kills what runs on a host, and removes it."""
    for process in host._processes:
        process.kill()
        process.wait()
    shutil.rmtree(Path("/etc/netns", host.namespace), ignore_errors=True)
    # By itself, the link stays for as long as a connection of the host's is half closed.
    for arguments in (
        ["-n", host.namespace, "link", "del", "eth0"],
        ["netns", "del", host.namespace],
    ):
        subprocess.run(["ip", *arguments], capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

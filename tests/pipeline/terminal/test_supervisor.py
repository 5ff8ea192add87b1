import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.traps import PROGRAM
from tfxray.pipeline.terminal import supervisor


def processes(mark: str) -> list[int]:
    """All processes that carry a mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # gone, or another user's
    return found


def wait_until(holds) -> None:
    until = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.fixture(scope="module")
def xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signals") / "xrays"
    subprocess.run(
        [PROGRAM, "sample", "--out", folder, "--images", "520", "--size", "64"], check=True
    )
    return folder


@pytest.fixture
def heard() -> Iterator[None]:
    """Undoes what ignores signals for all that it starts: nohup, and `&` without job control."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGTERM, False),
        (signal.SIGINT, True),
        (signal.SIGHUP, False),
        (signal.SIGKILL, False),
    ],
)
def test_a_run_that_is_stopped_leaves_its_summary_and_no_process(
    xrays: Path, tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    mark = f"TFXRAY_TEST_MARK={tmp_path}"
    environment = {**os.environ, **dict([mark.split("=")]), "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [PROGRAM, "run", "--config", "demo", "--data", xrays, "--out", tmp_path / "out"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    # The command, its supervisor, and the ingest.
    wait_until(lambda: len(processes(mark)) >= 3)
    (os.killpg if group else os.kill)(process.pid, number)
    _, told = process.communicate(timeout=120)
    wait_until(lambda: not processes(mark))
    if number is signal.SIGKILL:
        return
    assert process.returncode == 128 + number
    reason = f"stopped by {number.name}"
    assert told.splitlines()[-1] == reason
    assert "Traceback" not in told
    (summary,) = (tmp_path / "out" / "runs").glob("*/summary.json")
    content = json.loads(summary.read_text())
    assert (content["status"], content["reason"]) == ("failed", reason)
    assert not list((tmp_path / "out" / "data").glob("*.partial"))


# What a process does in the place of a command, and how its end is told.
ENDS = [
    ("import os; os._exit(3)", 3, ""),
    ("import os; os.abort()", 1, "ended by the system: SIGABRT, most likely memory"),
    ("import os; os.kill(os.getpid(), 9)", 1, "ended by the system: SIGKILL, most likely memory"),
    ("import ctypes; ctypes.string_at(0)", 1, "ended by the system: SIGSEGV, a library crashed"),
    (
        "import signal, os; signal.signal(25, signal.SIG_DFL); os.kill(os.getpid(), 25)",
        1,
        "ulimit -f",
    ),
]


@pytest.mark.parametrize(("work", "code", "told"), ENDS)
def test_a_command_that_the_system_ended_is_told_in_a_line(work: str, code: int, told: str) -> None:
    script = f"from tfxray.pipeline.terminal import supervisor; supervisor.supervise(); {work}"
    done = subprocess.run(
        [PROGRAM.with_name("python"), "-c", script], capture_output=True, text=True
    )
    assert done.returncode == code
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == bool(told)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_failure_and_catch_no_file(closed: str, tmp_path: Path) -> None:
    command = f"{PROGRAM} sample --out {tmp_path / 'xrays'} --images 4 --size 64 {closed}"
    assert subprocess.run(["bash", "-c", command]).returncode == 0
    assert subprocess.run(
        ["bash", "-c", f"{PROGRAM} runs --out {tmp_path} {closed}"]
    ).returncode in (0, 2)


@pytest.mark.parametrize("limit", ["-v 700000", "-n 12"])
def test_a_limit_of_the_system_is_told_in_a_line(limit: str, xrays: Path, tmp_path: Path) -> None:
    command = f"ulimit {limit}; exec {PROGRAM} ingest {xrays} --out {tmp_path / 'records'}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "too little" in done.stderr


def test_a_death_is_named_whatever_its_signal() -> None:
    assert supervisor.describe_death(signal.SIGBUS).startswith("SIGBUS, ")
    assert supervisor.describe_death(63).startswith("signal 63, ")

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.traps import Traps
from tfxray.components.common import isolation

SHOW = """\
import os, sys
print(os.getcwd(), *sys.argv[1:], flush=True)
if "wait" in sys.argv:
    import time
    time.sleep(60)
"""
# A process that starts another one, tells its number, and waits.
PARENT = """\
import sys, time
from tfxray.components.common import isolation
child = isolation.start_python(sys.argv[1], ["wait"])
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
POOL = """\
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from tfxray.components.common import isolation
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, context, initializer=isolation.end_with_pool)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Python's path, to be changed, in a folder of data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
        monkeypatch.setenv(name, "")
    return sys.path


@pytest.mark.parametrize("entry", ["", ".", "..", "sub", "{here}", "{here}/sub/..", "{link}"])
def test_the_working_folder_leaves_the_path_however_it_is_written(
    path: list[str], tmp_path: Path, entry: str
) -> None:
    (tmp_path / "sub").mkdir()
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path)
    entry = entry.format(here=tmp_path, link=link)
    before = [part for part in path if part and Path(part) != tmp_path]
    path[:] = [entry, *before]
    os.environ["PYTHONPATH"] = f"{entry}:/lib:{entry}"
    isolation.shut_out()
    assert path == before
    assert os.environ["PYTHONPATH"] == "/lib"


def test_folders_of_the_command_line_leave_the_path_too(path: list[str], tmp_path: Path) -> None:
    before = list(path)
    (tmp_path / "configs").mkdir()
    config = tmp_path / "configs" / "c.yaml"
    config.touch()
    path[:0] = [str(tmp_path / "data"), str(tmp_path / "configs"), str(tmp_path / "lib")]
    isolation.shut_out("data", config)
    assert path == [str(tmp_path / "lib"), *[part for part in before if part]]


@pytest.mark.parametrize("own", [Path(os.__file__).parent, Path(pytest.__file__).parents[1]])
def test_what_python_itself_looks_through_stays(
    path: list[str], monkeypatch: pytest.MonkeyPatch, own: Path
) -> None:
    monkeypatch.chdir(own)
    isolation.shut_out()
    assert os.path.realpath(own) in map(os.path.realpath, path)


def test_a_process_finds_no_module_in_the_folder_in_which_it_starts(tmp_path: Path) -> None:
    traps = Traps(tmp_path / "data", tmp_path / "marks")
    script = tmp_path / "show.py"
    script.write_text(SHOW)
    assert traps.run(sys.executable, "-m", "json.tool", "/dev/null").returncode
    assert traps.sprung(), "the traps are set"
    start = (
        "from tfxray.components.common import isolation\n"
        f"print(isolation.start_python({str(script)!r}, ['x']).communicate())\n"
        "print(isolation.start_python('json.tool:main', ['/dev/null']).communicate())\n"
    )
    for pythonpath in ("", ":", ".", str(traps.folder)):
        # As after `shut_out`, but for the variable: Python itself would fall into the traps.
        before = f"import os; os.environ['PYTHONPATH'] = {pythonpath!r}\n"
        # A script elsewhere: with `-c`, Python 3.13 looks into the folder before its first line.
        (tmp_path / "start.py").write_text(before + start)
        done = traps.run(sys.executable, tmp_path / "start.py")
        assert f"{traps.folder} x" in done.stdout, done.stderr
        assert not traps.sprung()


def test_whoever_computes_apart_stands_in_the_librarys_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    traps = Traps(tmp_path / "data", tmp_path / "marks")
    monkeypatch.chdir(traps.folder)
    command = [sys.executable, "-m", "json.tool", "--help"]
    with isolation.apart(), isolation.apart():
        assert subprocess.run(command, capture_output=True).returncode == 0
    assert not traps.sprung()
    assert Path.cwd() == traps.folder
    subprocess.run(command, capture_output=True)
    assert traps.sprung()


def test_a_working_folder_that_is_gone_does_no_harm(
    path: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    isolation.shut_out("data")
    with isolation.apart():
        assert os.getcwd()
    with pytest.raises(FileNotFoundError):
        os.getcwd()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("script", [PARENT, POOL])
def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path, script: str) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "parent.py").write_text(script)
    command = [sys.executable, tmp_path / "parent.py", tmp_path / "show.py"]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert _is_alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + 20
    while _is_alive(child):
        assert time.monotonic() < until, "the child is still there"
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"

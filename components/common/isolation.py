"""Keeps modules that came with the data out of every process of ours.

Python looks for modules in the working folder first, where it is started by `-m` or `-c`, and where
PYTHONPATH has an empty entry. A data set that brings a `csv.py` would so run its code. Therefore

- a process of ours begins with `shut_out`,
- it starts other processes of ours by `start_python`,
- and it computes in the standard library's folder (`apart`), since libraries start processes too:
  Beam its workers, by `python -m`, and `multiprocessing` its own, by `python -c`. Both begin in the
  folder of their parent.

`-I` would do half of that, and lose what users install for themselves or name in PYTHONPATH. Python
3.10 has no `-P`. This module imports only what Python has loaded before any code of ours.
"""

import os
import site
import sys

TYPE_CHECKING = False  # `typing` is a file
if TYPE_CHECKING:
    import subprocess

# Where Python looks in any case.
_LIBRARY = os.path.dirname(os.path.realpath(os.__file__))
_PDEATHSIG = 1  # Linux's PR_SET_PDEATHSIG
# A process of ours: `-c` has put an empty entry on the path. `sys` is no file, so nothing is
# imported before that is gone. Then as `end_with`, which is not there for a script.
_BEGIN = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import ctypes, os, pkgutil, runpy, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
_, _, code, *sys.argv[1:] = sys.argv
if code.endswith(".py"):
    sys.argv[0] = code
    runpy.run_path(code, run_name="__main__")
else:
    sys.argv[0] = "tfxray"
    pkgutil.resolve_name(code)()
"""


def shut_out(*paths: "str | os.PathLike[str]") -> None:
    """Takes folders of the user's off the path of modules, for this process and all it starts.

    These are the working folder, all relative entries, and the folders that are named. What Python
    or tfxray itself lies in stays. For the first lines of a process alone.

    Args:
        paths: Files or folders of data, configs and results. Of a file, its folder is meant too.
    """
    folders = {_real(".")}
    for path in [os.fspath(path) for path in paths]:
        folders |= {_real(path), _real(os.path.dirname(path) or ".")}
    folders -= _own_folders()
    sys.path[:] = [entry for entry in sys.path if _stays(entry, folders)]
    os.environ.update(_variables(folders))


def _variables(folders: set[str]) -> dict[str, str]:
    """What a process of Python's takes from its environment: the path, and to leave it so."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if os.path.isabs(entry) and _stays(entry, folders)]
    # An empty PYTHONPATH is none. PYTHONSAFEPATH counts from Python 3.11 on.
    return {"PYTHONPATH": os.pathsep.join(kept), "PYTHONSAFEPATH": "1"}


def _stays(entry: str, folders: set[str]) -> bool:
    # An editable install has an entry that is neither absolute nor a folder.
    relative = not os.path.isabs(entry) and os.path.exists(entry or ".")
    return not relative and _real(entry) not in folders


def _own_folders() -> set[str]:
    own = {_LIBRARY, *map(_real, site.getsitepackages())}
    if site.ENABLE_USER_SITE:
        own.add(_real(site.getusersitepackages()))
    package = _real(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
    if os.path.basename(package) == "tfxray":  # such as by `pip install --target`
        own.add(os.path.dirname(package))
    return own


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except OSError:  # the working folder was removed
        return ""


def end_with(parent: int) -> None:
    """Lets this process be killed when its parent ends, whatever becomes of that.

    Args:
        parent: Its process; this one ends at once if it is gone already.
    """
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def end_with_pool() -> None:
    """Lets a process that `multiprocessing` started end with the one that started it.

    Unlike `end_with`, for those that a thread started, which may end before. Ctrl-C, which goes to
    every process of a terminal, is left to that one.
    """
    import multiprocessing
    import signal
    import threading
    from multiprocessing import connection

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


class apart:
    """A context within which the working folder is the standard library's.

    For all that may start processes. Python looks there in any case, and there is nothing else.
    Paths must be absolute before. It may be entered within itself.
    """

    def __enter__(self) -> None:
        """Goes there."""
        # By its number: it may be gone, or hidden from this user, when it is gone back to.
        self._before = os.open(".", os.O_PATH | os.O_DIRECTORY)
        os.chdir(_LIBRARY)

    def __exit__(self, *exception: object) -> None:
        """Goes back."""
        try:
            os.fchdir(self._before)
        finally:
            os.close(self._before)


def start_python(
    code: str,
    arguments: list[str],
    environment: dict[str, str] | None = None,
    answers: bool = True,
) -> "subprocess.Popen[str]":
    """Starts a process of ours. It ends with this one.

    To be called from the main thread: the process ends with the thread that started it.

    Args:
        code: `package.module:function`, or the path of a script, which ends in `.py`.
        arguments: Its command line.
        environment: Variables to set beside this process's own.
        answers: Whether anybody reads its stdout.

    Returns:
        The process. Its stderr is a pipe of text, and so is its stdout if it answers. It has no
        stdin.
    """
    import subprocess

    return subprocess.Popen(
        [sys.executable, "-c", _BEGIN, str(os.getpid()), code, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if answers else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | _variables({_real(".")} - _own_folders()) | (environment or {}),
    )

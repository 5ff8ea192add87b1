"""Disturbs runs, and sees whether the next run ends as an undisturbed one.

    python -m tests.faults.crashes kill --trials 60     # kill -9, at moments spread over a run
    python -m tests.faults.crashes full --trials 20     # a disk full from a moment on, then freed
    python -m tests.faults.crashes twice --trials 20    # a second run, 0 to 5 s after the first

Each trial has an `--out` of its own. It prints one row of a table; the last line counts. A full
disk needs root, for a small file system of its own.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import quick

IMAGES = 200
_DISK = "160m"  # a run leaves some 20 MB
_STEP = re.compile(r"^  ([A-Za-z][\w-]+) +([\d.]+) s", re.MULTILINE)
_ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        code: Its exit code.
        summary: The content of its `summary.json`; empty where there is none.
        text: What it said.
    """

    code: int
    summary: dict
    text: str

    @property
    def outcome(self) -> dict:
        """What must be the same after a disturbance: all but names, places and times.

        Figures but for the last digits, which depend on the threads that share a sum.
        """
        rules = [
            (rule["rule"], rule["slice"], round(rule["figure"] or 0, 4), rule["passed"])
            for rule in self.summary.get("rules", [])
        ]
        same = {key: self.summary.get(key) for key in ("status", "auc", "examples", "patients")}
        return {"code": self.code, **same, "rules": rules}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One disturbance.

    Attributes:
        what: It, in words.
        where: The step that was under way.
        fault: How the next run differs from an undisturbed one; empty where it does not.
    """

    what: str
    where: str
    fault: str


class Run:
    """A run under way, in a process group of its own."""

    def __init__(self, arguments: Sequence[str]):
        """Starts it."""
        self._said = tempfile.NamedTemporaryFile("r")  # noqa: SIM115
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("tfxray")), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=os.open(self._said.name, os.O_WRONLY),
            env=_ENVIRONMENT,
            start_new_session=True,
        )

    @property
    def text(self) -> str:
        """What it has said so far."""
        return Path(self._said.name).read_text(errors="replace")

    def wait_for(self, step: str, seconds: float) -> None:
        """Waits until a step has begun, and for so long then, or for the run's end.

        Args:
            step: The last step to be over before; empty for none.
            seconds: Afterwards.
        """
        while step not in _steps(self.text) and step and self.process.poll() is None:
            time.sleep(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def finish(self) -> Result:
        """Waits for its end."""
        self.process.wait()
        return _read(self.process.returncode, self.text)


def in_a_process(arguments: Sequence[str]) -> tuple[int, str]:
    """Runs a command to its end; its exit code, and what it said."""
    result = Run(arguments).finish()
    return result.code, result.text


class Campaign:
    """Trials over one data set, which is drawn first, and one undisturbed run."""

    def __init__(
        self,
        folder: Path,
        call: Callable[[Sequence[str]], tuple[int, str]] = in_a_process,
        after: str = "",
    ):
        """Begins it.

        Args:
            folder: Of all trials.
            call: Runs a command that nobody disturbs; see `in_a_process`.
            after: A node up to which all has been done before each trial. One trial at a time then:
                all are in one folder, since the metadata store holds absolute paths.
        """
        self.folder, self._call = folder, call
        self._data, self._kept = folder / "x-rays", folder / "kept" if after else None
        self._config = quick.write_config(folder, name="crash", gate={"servable": True})
        command = ["sample", "--out", str(self._data), "--images", str(IMAGES), "--size", "64"]
        self._require(call(command))
        out = self._place("undisturbed") / "out"
        if self._kept:
            self._require(call([*self._arguments(out), "--to", after]))
            shutil.copytree(out, self._kept, symlinks=True)
        start = time.monotonic()
        self.undisturbed = self._run(out)
        self.seconds = time.monotonic() - start
        self._require((self.undisturbed.code, self.undisturbed.text))

    @staticmethod
    def _require(done: tuple[int, str]) -> None:
        code, text = done
        if code:
            raise SystemExit(f"an undisturbed command fails: {text}")

    def _place(self, name: str) -> Path:
        """The folder of a trial; what another left there is gone."""
        place = self.folder / ("trial" if self._kept else name)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    def _begin(self, place: Path) -> Path:
        """The `--out` of a trial, with what has been done before it."""
        out = place / "out"
        if self._kept:
            shutil.copytree(self._kept, out, symlinks=True)
        return out

    def _arguments(self, out: Path) -> list[str]:
        places = ("--config", self._config, "--data", self._data, "--out", out)
        return ["run", *map(str, places)]

    def _run(self, out: Path) -> Result:
        """A run that nobody disturbs."""
        return _read(*self._call(self._arguments(out)))

    def place(self, share: float) -> tuple[str, float]:
        """The step that is over at a share of the undisturbed run, and the seconds since then."""
        rest, last = share * self.seconds, ""
        for step, seconds in _steps(self.undisturbed.text).items():
            if rest <= seconds:
                break
            rest, last = rest - seconds, step
        return last, rest

    def judge(self, result: Result, out: Path) -> str:
        """How a run differs from the undisturbed one, and what it left; empty where all is well."""
        expected = self.undisturbed.outcome
        different = {k: (v, expected[k]) for k, v in result.outcome.items() if v != expected[k]}
        if different:
            return f"{different} {result.text[-1500:]}"
        return _wrong_versions(out / "serving" / "crash", result.summary["pushed_model"])

    def kill(self, number: int, share: float) -> Trial:
        """Kills a run, by itself or with its children, and runs again."""
        out = self._begin(self._place(f"kill-{number}"))
        disturbed = Run(self._arguments(out))
        disturbed.wait_for(*self.place(share))
        alone, process = number % 2 == 0, disturbed.process
        with contextlib.suppress(ProcessLookupError):
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
        place = _place(disturbed.finish())
        fault = _wrong_versions(out / "serving" / "crash", None)
        fault = fault or self.judge(self._run(out), out)
        what = f"kill -9 {'of the run' if alone else 'of all its processes'} at {share:.2f}"
        return Trial(what, place, fault)

    def full(self, number: int, share: float) -> Trial:
        """Fills the disk at a moment of a run, frees it when the run has ended, and runs again."""
        disk = self._place(f"full-{number}")
        with _small_disk(disk):
            out = self._begin(disk)
            run = Run(self._arguments(out))
            run.wait_for(*self.place(share))
            _fill(disk / "filler")
            disturbed = run.finish()
            (disk / "filler").unlink()
            fault = _traceback(disturbed) or _wrong_versions(out / "serving" / "crash", None)
            fault = fault or self.judge(self._run(out), out)
        said = (disturbed.text.strip().splitlines() or [""])[-1]
        what = f"full disk from {share:.2f} on, exit code {disturbed.code}: {said}"
        return Trial(what, _place(disturbed), fault)

    def twice(self, number: int, share: float) -> Trial:
        """Starts a second run some seconds after the first, in the same `--out`."""
        out = self._begin(self._place(f"twice-{number}"))
        first = Run(self._arguments(out))
        time.sleep(5 * share)
        second = Run(self._arguments(out))
        results = [first.finish(), second.finish()]
        results.append(self._run(out))  # a third one, of what they left
        fault = next(filter(None, (self.judge(result, out) for result in results)), "")
        return Trial(f"a second run after {5 * share:.1f} s", "", fault)


def _read(code: int, text: str) -> Result:
    """A run with the summary of the folder that it names."""
    named = re.search(r"^crash: (.*)/config\.yaml$", text, re.MULTILINE)
    summary = {}
    with contextlib.suppress(OSError, ValueError, TypeError):
        summary = json.loads((Path(named[1]) / "summary.json").read_bytes())
    return Result(code, summary, text)


def _steps(text: str) -> dict[str, float]:
    """The steps that a run has told, and their seconds."""
    return {step: float(seconds) for step, seconds in _STEP.findall(text)}


def _place(result: Result) -> str:
    if result.code == 0:
        return "at the end"
    return f"after {['the start', *_steps(result.text)][-1]}"


def _traceback(result: Result) -> str:
    if result.code in (0, 1, 2, 3, 4) and "Traceback" not in result.text:
        return ""
    return f"exit code {result.code}: {result.text[-1500:]}"


def _wrong_versions(serving: Path, pushed: str | None) -> str:
    """What a model server would find wrong in a folder of versions; empty where all is well."""
    if pushed and not Path(pushed).is_dir():
        return f"pushed: {pushed}, which is not there"
    for version in serving.glob("[0-9]*"):
        for name in ("saved_model.pb", "variables/variables.index"):
            if not (version / name).is_file() or not (version / name).stat().st_size:
                return f"{version.name}: {name} is missing or empty"
    return ""


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(path: Path) -> None:
    """Writes until nothing is left, not even a byte."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def moments(trials: int, seed: int) -> list[float]:
    """Shares of a run, one drawn from each of as many equal parts as there are trials."""
    draw = random.Random(seed)
    return [(part + draw.random()) / trials for part in range(trials)]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("kill", "full", "twice"))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(arguments.jobs) as threads:
        campaign = Campaign(Path(scratch))
        print(f"undisturbed: {campaign.seconds:.0f} s, {campaign.undisturbed.outcome}", flush=True)
        disturb = getattr(campaign, arguments.kind)
        shares = moments(arguments.trials, arguments.seed)
        held = 0
        for trial in threads.map(disturb, range(arguments.trials), shares):
            held += not trial.fault
            row = (trial.what, trial.where, trial.fault or "as undisturbed")
            print(" | ".join(row), flush=True)
        print(f"{held} of {arguments.trials} end as an undisturbed run", flush=True)
    raise SystemExit(held < arguments.trials)


if __name__ == "__main__":
    main()

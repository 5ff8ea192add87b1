"""Is a pipeline had at the price of a script? `make bench` writes the answer into RESULTS.md.

    python benchmarks/bench.py [--images DIR --pattern REGEX] [--weights FILE] [--sizes N,N,N]
                               [--rounds N] [--only B1,B3] [--out FILE]

DIR holds class folders of X-rays; without it they are drawn. What is compared alternates; times are
on the clock, from the start of the process to its end, medians over the rounds, with the least and
the most. On a machine that does other things too, look at the ratios.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import sets

_HERE = Path(__file__).parent
_BINARY = Path(sys.executable).parent / "tfxray"
_BUNDLED = (
    _HERE.parent / "components" / "networks" / "weights" / "mobilenet_v2_0.35_drawn.weights.h5"
)
_PACKAGES = ("tensorflow", "keras", "tfx", "apache-beam")
_EPOCHS = 19  # of the way without a cache of embeddings


class Bench:
    """Measures on sets of several sizes, and collects the lines of the report."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path):
        """Makes the sets."""
        self._rounds, self._weights, self._scratch = arguments.rounds, arguments.weights, scratch
        self._sizes = [int(size) for size in arguments.sizes.split(",")]
        self._sets = {}
        for size in self._sizes:
            folder = scratch / f"set-{size}"
            if arguments.images:
                sets.take_set(arguments.images, arguments.pattern, folder, size)
            else:
                sets.draw_set(folder, size)
            self._sets[size] = folder
        self._config = scratch / "bench.json"  # JSON is YAML, too
        labels = (self._sets[self._sizes[0]] / "manifest.csv").read_text().splitlines()[1:]
        self._config.write_text(json.dumps(self._settings({li.split(",")[1] for li in labels})))
        self.lines: list[str] = []
        self._runs: dict[int, list[dict[str, Any]]] = {}

    def _settings(self, classes: set[str]) -> dict[str, Any]:
        return {
            "name": "bench",
            "classes": sorted(classes),
            "model": {"arguments": {"alpha": 0.35}, "weights": self._weights, "image_size": 224},
            "gate": {"auc": {"threshold": 0.0}, "slice_auc": None, "calibration_error": None},
            "validation": {
                "gate": dict.fromkeys(("rejects", "leakage", "near_identical"), "warn"),
            },
        }

    def b1(self) -> None:
        """The whole run against the script."""
        self._title("B1", "`tfxray run`, cold, against a plain Keras script; seconds")
        self._row("images", "script", "tfxray", "ratio", "AUC, held-out: tfxray")
        self._row(*["---"] * 5)
        for size in self._sizes:
            script, pipeline = [], []
            for _ in range(self._rounds):
                script.append(self._script(size))
                pipeline.append(self._run(size, self._fresh()))
                self._runs.setdefault(size, []).append(self._summary())
            ratios = [pipeline[i] / script[i] for i in range(self._rounds)]
            auc = self._runs[size][-1]["auc"]
            self._row(size, _spread(script), _spread(pipeline), _spread(ratios, 2), f"{auc:.4f}")

    def b2(self) -> None:
        """Embedding against `predict`."""
        rates_of_ways = self._python(
            "rates.py", self._sets[self._sizes[-1]], self._weights, self._rounds
        )
        embed, predict, images = (
            rates_of_ways["embed"],
            rates_of_ways["predict"],
            rates_of_ways["images"],
        )
        ratios = [predict[i] / embed[i] for i in range(len(embed))]
        self._title("B2", "Transform's embedding against `model.predict`, images per second")
        self._row("`model.predict`", "embedding", "ratio")
        self._row(*["---"] * 3)
        rates = [[images / seconds for seconds in way] for way in (predict, embed)]
        self._row(_spread(rates[0], 0), _spread(rates[1], 0), _spread(ratios, 2))
        parts = ", ".join(f"{name} {ms:.2f}" for name, ms in rates_of_ways["parts"].items())
        self.lines.append(f"\nOf an image, ms on the clock: {parts}.")

    def b3(self) -> None:
        """Again, with another head, and with nothing changed."""
        first, head, same = [], [], []
        size = self._sizes[len(self._sizes) // 2]
        for number in range(self._rounds):
            # None is the default, or another round's.
            out, head_override = self._fresh(), f"model.head.dropout={0.4 + number / 100}"
            first.append(self._run(size, out))
            head.append(self._run(size, out, head_override))
            same.append(self._run(size, out, head_override))
        self._title("B3", f"A run after another, {size} images; seconds")
        self._row("first", "another head", "ratio", "nothing changed", "ratio")
        self._row(*["---"] * 5)
        ratios = [[again[i] / first[i] for i in range(self._rounds)] for again in (head, same)]
        self._row(_spread(first), _spread(head), _spread(ratios[0], 2),
                  _spread(same), _spread(ratios[1], 2))  # fmt: skip

    def b4(self) -> None:
        """Peak memory of every node."""
        peaks = []
        for size in self._sizes:
            out, train = self._fresh(), json.dumps({"epochs": 10, "patience": None})
            costs = self._python("unit_costs.py", "--one", self._sets[size], out, train)
            peaks.append({name: step["peak"] for name, step in costs["steps"].items()})
        self._title("B4", "Peak memory of the process at each step, MB")
        self._row("step", *self._sizes, "largest to smallest")
        self._row(*["---"] * (len(self._sizes) + 2))
        for name in peaks[0]:
            own = [peak[name] for peak in peaks]
            self._row(name, *(f"{mb:.0f}" for mb in own), f"{own[-1] / own[0]:.2f}")

    def b5(self) -> None:
        """Without cached embeddings."""
        size = self._sizes[len(self._sizes) // 2]
        epochs = (f"train.epochs={_EPOCHS}", "train.patience=null")
        seconds_cached, seconds_through = [], []
        for _ in range(max(1, self._rounds // 5)):  # the way through takes minutes
            for seconds, mode in ((seconds_cached, "frozen"), (seconds_through, "fine_tune")):
                out = self._fresh()
                self._run(size, out, *epochs, f"train.mode={mode}", "train.unfreeze=none")
                step_seconds = self._summary()["seconds"]
                seconds.append(step_seconds["Transform"] + step_seconds["Trainer"])
        ratios = [seconds_through[i] / seconds_cached[i] for i in range(len(seconds_cached))]
        self._title("B5", f"{_EPOCHS} epochs of a head, {size} images; Transform and Trainer, s")
        self._row("embeddings cached", "every epoch through the backbone", "ratio")
        self._row(*["---"] * 3)
        self._row(_spread(seconds_cached), _spread(seconds_through), _spread(ratios, 2))

    def b6(self) -> None:
        """Scoring a folder."""
        size = self._sizes[-1]
        out = self._fresh()
        self._run(self._sizes[0], out)
        self._script(self._sizes[0])
        model = self._scratch / "script" / "model.keras"
        pipeline, keras_seconds = [], []
        for number in range(self._rounds):
            target = self._scratch / f"scored-{number}"
            pipeline.append(_timed([_BINARY, "predict", "--input", self._sets[size], "--model", out,
                                "--output", target, "--force"]))  # fmt: skip
            code = (
                "import sys, keras, plain_keras; from pathlib import Path;"
                "paths = sorted(map(str, Path(sys.argv[2]).glob('*/*')));"
                "model = keras.saving.load_model(sys.argv[1]);"
                "model.predict(plain_keras.batch_files(paths), verbose=0)"
            )
            keras_seconds.append(
                _timed([sys.executable, "-c", code, model, self._sets[size]], cwd=_HERE)
            )
        ratios = [keras_seconds[i] / pipeline[i] for i in range(self._rounds)]
        self._title("B6", f"Scores of {size} files, process start included; seconds")
        self._row("`model.predict`", "`tfxray predict --input`", "ratio of rates")
        self._row(*["---"] * 3)
        self._row(_spread(keras_seconds), _spread(pipeline), _spread(ratios, 2))

    def b7(self) -> None:
        """Start-up."""
        out = self._fresh()
        self._run(self._sizes[0], out)
        image = next(p for p in self._sets[self._sizes[0]].rglob("*") if p.suffix != ".csv"
                     and p.is_file())  # fmt: skip
        bad_run = ["run", "--config", self._config, "--out", out, "--set", "train.epochs=none"]
        self._title("B7", "Start-up, seconds")
        self._row("command", "seconds")
        self._row("---", "---")
        for name, command in (
            ("`tfxray --help`", ["--help"]),
            ("a config error", bad_run),
            ("`tfxray predict` of one image", ["predict", image, "--model", out]),
        ):
            times = [_timed([_BINARY, *command], check=False) for _ in range(self._rounds + 1)]
            self._row(name, _spread(times, 2))

    def b8(self) -> None:
        """How time divides: by B1's runs."""
        if not self._runs:
            return
        self._title("B8", "How the time of B1's runs divides, seconds, medians")
        self._row("step", *self._runs)
        self._row(*["---"] * (len(self._runs) + 1))
        steps = next(iter(self._runs.values()))[0]["seconds"]
        for name in (n for n in steps if n != "total"):
            own = [[run["seconds"][name] for run in runs] for runs in self._runs.values()]
            if max(map(max, own)) >= 0.1:
                self._row(name, *(f"{statistics.median(seconds):.1f}" for seconds in own))

    def _fresh(self) -> Path:
        out = self._scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        return out

    def _run(self, size: int, out: Path, *overrides: str) -> float:
        settings = [word for each in overrides for word in ("--set", each)]
        return _timed([_BINARY, "run", "--config", self._config, "--data", self._sets[size],
                       "--out", out, *settings])  # fmt: skip

    def _summary(self) -> dict[str, Any]:
        latest = max((self._scratch / "out" / "runs").iterdir())
        summary: dict[str, Any] = json.loads((latest / "summary.json").read_text())
        return summary

    def _script(self, size: int) -> float:
        return _timed([sys.executable, _HERE / "plain_keras.py", self._sets[size], self._weights,
                       self._scratch / "script"])  # fmt: skip

    def _python(self, script: str, *arguments: object) -> dict[str, Any]:
        command = [sys.executable, str(_HERE / script), *map(str, arguments)]
        process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
        return result

    def _title(self, number: str, text: str) -> None:
        self.lines += ["", f"## {number}: {text}", ""]

    def _row(self, *cells: object) -> None:
        self.lines.append("| " + " | ".join(map(str, cells)) + " |")
        print(self.lines[-1], flush=True)


def _timed(command: list[Any], check: bool = True, cwd: Path | None = None) -> float:
    start = time.perf_counter()
    process = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if check and process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{process.stderr[-2000:]}")
    return seconds


def _spread(values: list[float], digits: int = 1) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--pattern", default=r"^(.*)$")
    parser.add_argument("--weights", default=str(_BUNDLED))
    parser.add_argument("--sizes", default="1464,5856,23424")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="B1,B2,B3,B4,B5,B6,B7,B8")
    parser.add_argument("--out", type=Path, default=_HERE / "RESULTS.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(arguments, Path(scratch))
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
        bench.lines += [
            "# The price of a pipeline", "",
            f"Written by `make bench`: {'real' if arguments.images else 'drawn'} X-rays, "
            f"{arguments.rounds} rounds. {os.cpu_count()} cores, {platform.machine()}, "
            f"Python {platform.python_version()}, {versions}. Median (least to most).",
        ]  # fmt: skip
        for name in arguments.only.split(","):
            getattr(bench, name.lower())()
            arguments.out.write_text("\n".join(bench.lines) + "\n")
    print(arguments.out)


if __name__ == "__main__":
    main()

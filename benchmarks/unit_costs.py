"""What does an image cost, node by node, beside what a run costs anyway?

    python benchmarks/unit_costs.py [--small N] [--large N] [--pixels P] [--records]

Draws N chest X-rays of P pixels on each side (above 512: drawn at 512, and enlarged to a JPEG with
a detector's noise), and runs the pipeline over them at both sizes, each run in a process of its
own: in mode `frozen` at 224 pixels (MobileNetV2 0.35), and at the small size in mode `fine_tune`
with one epoch and with three. Counted is time on a core, of all threads and child processes: unlike
seconds on the clock, it is hardly changed by what else the machine does. Where two sizes are known,
the straight line through them tells what is fixed from what each image adds. With `--records`, the
X-rays are drawn into TFRecords by all cores, and mode `fine_tune` is left out: for large sets.
"""

import argparse
import contextlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CONFIG: dict[str, Any] = {
    "name": "costs",
    "classes": ["NORMAL", "PNEUMONIA"],
    "model": {"arguments": {"alpha": 0.35}, "weights": "bundled", "image_size": 224},
    "gate": {"auc": {"threshold": 0.0}, "slice_auc": None, "calibration_error": None},
    "validation": {"gate": dict.fromkeys(("rejects", "leakage", "near_identical"), "warn")},
}
_FROZEN = {"epochs": 10, "patience": None}
_TUNED = {"mode": "fine_tune", "patience": None, "batch_size": 32}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=600)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--records", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # data, out, settings
    arguments = parser.parse_args()
    if arguments.one:
        print(
            json.dumps(
                measure(
                    Path(arguments.one[0]), Path(arguments.one[1]), json.loads(arguments.one[2])
                )
            )
        )
        return
    sizes, pixels = (arguments.small, arguments.large), arguments.pixels
    _CONFIG["model"]["image_size"] = min(pixels, 224)
    draw = draw_records if arguments.records else draw_set
    with tempfile.TemporaryDirectory() as scratch:
        data = {n: draw(Path(scratch) / f"drawn-{n}", n, pixels) for n in sizes}
        frozen = [measure_in_process(folder, _FROZEN) for folder in data.values()]
        print(f"\nImages of {pixels} pixels, {os.cpu_count()} cores; seconds of a core.\n")
        print_table(sizes, *frozen)
        print(f"\nBytes on disk: {frozen[0]['bytes']}, {frozen[1]['bytes']}")
        print(f"Largest child process, MB: {frozen[0]['child']:.0f}, {frozen[1]['child']:.0f}")
        print(f"Seconds on the clock: {frozen[0]['wall']:.0f}, {frozen[1]['wall']:.0f}")
        print(f"Rows in the metadata store after one run: {frozen[0]['rows']}, {frozen[1]['rows']}")
        if not arguments.records:
            print_epochs(data[arguments.small])


def print_epochs(data: Path) -> None:
    """Prints what an epoch takes where the network is trained."""
    first, third = (measure_in_process(data, {**_TUNED, "epochs": n}) for n in (1, 3))
    images = first["examples"]["train"]
    epoch = (third["steps"]["Trainer"]["cpu"] - first["steps"]["Trainer"]["cpu"]) / 2
    print(f"fine_tune, {images} training images: an epoch takes {epoch:.1f} s, ", end="")
    print(f"{epoch / images * 1000:.1f} s per 1,000, validation included.")
    print(f"Bytes on disk: {first['bytes']}")


def draw_records(folder: Path, images: int, pixels: int) -> Path:
    """Draws a set into TFRecords."""
    from drawn_records import write_records

    write_records(folder, images, pixels)
    return folder


def draw_set(folder: Path, images: int, pixels: int) -> Path:
    """Draws a set, with its manifest."""
    from ingest_speed import resize_images

    from tfxray.components.sample.draw import MANIFEST, write_sample

    write_sample(folder, images, min(pixels, 512), 0)
    if pixels <= 512:
        return folder
    large = resize_images(folder, folder.with_name(f"{folder.name}-{pixels}"), pixels)
    manifest = (folder / MANIFEST).read_text().replace(".png", ".jpeg")
    (large / MANIFEST).write_text(manifest)
    return large


def measure_in_process(data: Path, train: dict[str, Any]) -> dict[str, Any]:
    """Runs the pipeline once, in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        settings = json.dumps({"model": _CONFIG["model"], "train": train})
        command = [sys.executable, __file__, "--one", str(data), out, settings]
        process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    costs: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return costs


def measure(data: Path, out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Runs the pipeline once, and measures each step.

    Args:
        data: Images with their manifest.
        out: As the command's `--out`.
        settings: Sections of the config.

    Returns:
        `steps`: seconds of a core (`cpu`), on the clock (`wall`) and the peak of this process's
        memory in MB (`peak`), by step; `bytes` of what lies on disk, by kind; `child`, the peak of
        the largest child process (ingest's), in MB; `wall`, seconds; `rows` of the metadata store,
        by table; `examples`, by split.
    """
    from tfxray.pipeline.config.config import Config
    from tfxray.pipeline.engines.local import Run
    from tfxray.pipeline.terminal.screen import Screen, Step

    steps: dict[str, dict[str, float]] = {}

    class Meter(Screen):
        @contextlib.contextmanager
        def step(self, name: str) -> Iterator[Step]:
            Path("/proc/self/clear_refs").write_text("5")  # starts the peak anew
            before = _cpu()
            with super().step(name) as step:
                yield step
            peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
            steps[name] = {
                "cpu": _cpu() - before, "wall": step.seconds, "peak": int(peak) / 1024
            }  # fmt: skip

    config = Config.model_validate({**_CONFIG, **settings})
    summary = Run(config, out, Meter())(str(data))
    if summary.status != "pushed":
        raise RuntimeError(f"{summary.status}: {summary.reason}")
    return {
        "steps": steps,
        "bytes": {
            "images": _bytes(data),
            "records": _bytes(out / "data"),
            **{path.name: _bytes(path) for path in sorted((out / "artifacts").iterdir())},
            "page": Path(str(summary.review)).stat().st_size,
        },
        "child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "wall": summary.seconds["total"],
        "rows": _rows(out / "metadata.db"),
        "examples": summary.examples,
    }


def print_table(sizes: tuple[int, int], small: dict[str, Any], large: dict[str, Any]) -> None:
    """Prints what is fixed and what an image adds, step by step."""
    print(f"| step | {sizes[0]} images | {sizes[1]} images | fixed | per 1,000 images | peak, MB |")
    print("|---|---|---|---|---|---|")
    for name, more in large["steps"].items():
        less = small["steps"][name]
        slope = (more["cpu"] - less["cpu"]) / (sizes[1] - sizes[0])
        fixed = less["cpu"] - slope * sizes[0]
        print(
            f"| {name} | {less['cpu']:.1f} | {more['cpu']:.1f} | {max(fixed, 0):.1f} "
            f"| {slope * 1000:.2f} | {less['peak']:.0f}, {more['peak']:.0f} |"
        )


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usages)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _rows(database: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(database)) as store:
        tables = [name for (name,) in store.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'")]  # fmt: skip
        counts = {t: store.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in tables}
    return {name: count for name, count in counts.items() if count}


if __name__ == "__main__":
    main()

"""What does it cost to read a large public data set's annotation?

    python benchmarks/annotations.py [--table FILE] [--rows N] [--rounds N]

NIH ChestX-ray14 in its official layout: a table of 112,120 rows, two lists of a split, and a file
for each image, which holds nothing. FILE is the official table; without it, one is made up of the
same size. Measured, each time in a process of its own: csv alone, which reads the same cells (the
floor); the table with the file that each row means (`read_manifest`); and all that is known of each
image, from the listing of the folder to the splits (`label_images`).
"""

import argparse
import csv
import gzip
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tfxray.components.datasets.nih import NIH

_HEADING = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
_STEPS = {
    "csv alone": "rows = [r[:7] for r in csv.reader(open(path + '/' + table, newline=''))]",
    "read_manifest": "rows = manifest.read_manifest(path, rules.layout, listing).rows",
    "label_images": "rows = public.label_images(path, rules).rows",
}
_PROGRAM = """
import csv, resource, sys, time
from tfxray.components.layouts import public
from tfxray.components.listing import file_list
from tfxray.components.manifest import manifest
from tfxray.pipeline import data_folder
path, table = sys.argv[1:]
found = data_folder.find_folder(path, None, lambda line: None)
rules = data_folder.label_rules(None, found)
listing = file_list.list_images(path) if {listed} else None
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wall, work = time.perf_counter(), time.process_time()
{step}
print(time.perf_counter() - wall, time.process_time() - work,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, before / 1024, len(rows))
"""


def make_table(path: Path, rows: int) -> None:
    """Writes a table like NIH's."""
    draws = random.Random(0)
    names = NIH.findings
    with path.open("w", newline="") as file:
        file.write(f"{_HEADING}\n")
        writer = csv.writer(file)
        for number in range(rows):
            patient, visit = divmod(number, 4)
            found = draws.sample(names, draws.choice((0, 0, 1, 1, 2, 3)))
            writer.writerow([
                f"{patient + 1:08d}_{visit:03d}.png", "|".join(sorted(found)) or "No Finding",
                visit, patient + 1, draws.randint(1, 94), draws.choice("MF"),
                draws.choice(("PA", "AP")), 2048, 2500, 0.168, 0.168,
            ])  # fmt: skip


def lay_out(folder: Path, table: Path) -> None:
    """Makes the lists, and an empty file for each image of the table."""
    with table.open(newline="") as file:
        names = [row[0] for row in csv.reader(file)][1:]
    for number, name in enumerate(names):
        place = folder / f"images_{1 + number // 10_000:03d}" / "images"
        if number % 10_000 == 0:
            place.mkdir(parents=True)
        (place / name).touch()
    held_out = {name for name in names if int(name[:8]) % 4 == 0}
    (folder / "test_list.txt").write_text("\n".join(n for n in names if n in held_out))
    (folder / "train_val_list.txt").write_text("\n".join(n for n in names if n not in held_out))


def main() -> None:
    """Prints a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--rows", type=int, default=112_120)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "Data_Entry_2017_v2020.csv"
        if options.table:
            opened = gzip.open if options.table.suffix == ".gz" else open
            with opened(options.table, "rb") as source, table.open("wb") as target:
                shutil.copyfileobj(source, target)
        else:
            make_table(table, options.rows)
        lay_out(folder, table)
        results: dict[str, list[list[float]]] = {step: [] for step in _STEPS}
        for _ in range(options.rounds):
            for step, code in _STEPS.items():
                program = _PROGRAM.format(step=code, listed=step == "read_manifest")
                done = subprocess.run(
                    [sys.executable, "-c", program, folder, table.name],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                results[step].append([float(word) for word in done.stdout.split()])
        print(
            f"{'step':15} {'wall s':>7} {'CPU s':>7} {'peak MB':>8} {'before MB':>10} {'rows':>8}"
        )
        for step, figures in results.items():
            wall, work, peak, before, rows = (
                statistics.median(column) for column in zip(*figures, strict=True)
            )
            print(f"{step:15} {wall:7.2f} {work:7.2f} {peak:8.0f} {before:8.0f} {rows:8.0f}")


if __name__ == "__main__":
    main()

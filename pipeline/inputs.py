"""Turns whatever `--data` names into TFRecords by the data contract, once."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfxray.components.common import (
    code_digest,
    filenames,
    filesystem,
    isolation,
    progress,
)
from tfxray.components.common.errors import UserError
from tfxray.components.common.filesystem import StrPath
from tfxray.components.ingest import output
from tfxray.components.layouts import public
from tfxray.components.listing import file_list
from tfxray.components.source import tfrecords
from tfxray.components.source.dataset import Dataset
from tfxray.pipeline import data_folder
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.terminal import supervisor
from tfxray.pipeline.terminal.screen import PROGRESS_INDENT

_DRAWING = "tfxray.components.sample.draw"
_BLOCK = 1 << 20
_END = 10  # seconds in which an ingest clears up
_COMMAND = "tfxray.pipeline.cli.main:main"
_JOB = "tfxray.components.ingest.job"  # by its name, since to import it takes Beam, and seconds


@dataclass(frozen=True)
class Source:
    """The data of a run.

    Attributes:
        folder: Where it lies, on any of Beam's file systems.
        kind: `images`, `records` (by the contract) or `foreign` (records under other names).
        dataset: Of images: the public data set that they are; None for any other.
    """

    folder: str
    kind: str
    dataset: Dataset | None = None


def find_data(
    config: Config,
    data: str | None,
    out: StrPath,
    say: Callable[[str], None],
    option: str = "--data",
) -> Source:
    """Finds a run's data, drawing the sample where the config asks for one.

    Args:
        config: The experiment.
        data: As on the command line; None takes the config's.
        out: The folder of all runs.
        say: Takes a line.
        option: By which the user names the data.

    Raises:
        UserError: There is none.
    """
    if data is None and config.ingest.data:
        data = config.ingest.data
    if data is None and config.ingest.sample:
        data = _draw(config, out, say)
    if data is None:
        raise UserError("no data: give --data DIR (a folder of images or TFRecords)")
    file_list.require_folder(data, option)
    if not tfrecords.holds_records(data):
        folder = data_folder.find_folder(data, config, say)
        return Source(folder.path, "images", folder.dataset)
    if config.ingest.features:
        return Source(data, "foreign")
    return Source(_bring(data, out, say) if filesystem.is_s3(data) else data, "records")


def _bring(data: str, out: StrPath, say: Callable[[str], None]) -> str:
    """Copies TFRecords where TensorFlow, and with it ExampleGen, can read them; once.

    Returns:
        Their folder.
    """
    if not filesystem.is_local(out):
        raise UserError(
            f"{data}: TensorFlow reads no TFRecords from s3://, and they are copied to a local "
            "folder alone: copy them to where the pipeline's root lies, and name that (--data)"
        )
    names = tfrecords.find_layout(data).files
    report = output.read_report(data)
    key = hashlib.sha256((file_list.fingerprint(data) + data).encode()).hexdigest()[:16]
    folder = os.path.join(out, "data", f"records-{key}")
    if os.path.isdir(folder):
        return folder
    with output.hold_partial(folder) as partial:
        for name in [*names, *([filenames.INGEST_REPORT] if report else [])]:
            target = os.path.join(partial, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with filesystem.open_file(os.path.join(data, name)) as file, open(target, "wb") as copy:
                shutil.copyfileobj(file, copy, _BLOCK)
        filesystem.move_folder(partial, folder, filenames.INGEST_REPORT)
    say(f"  copied {len(names)} files of records from {data}")
    return folder


def _draw(config: Config, out: StrPath, say: Callable[[str], None]) -> str:
    from tfxray.components.sample.draw import MANIFEST, write_sample
    from tfxray.components.sample.several import write_findings

    sample = config.ingest.sample
    assert sample is not None
    if not filesystem.is_local(out):
        raise UserError(
            f"{out}: the sample can be drawn into a local folder only. Draw it by `tfxray sample`, "
            "copy it to where the run can read it, and name it (--data)"
        )
    code = code_digest.digest(_DRAWING)[:8]
    kind = "findings-" if sample.findings else ""
    name = f"sample-{kind}{sample.images}-{sample.size}-{sample.seed}-{code}"
    folder = Path(out) / "data" / name
    if not (folder / MANIFEST).is_file():  # written last
        write = write_findings if sample.findings else write_sample
        patients = write(folder, sample.images, sample.size, sample.seed)
        say(f"drew {sample.images} X-rays of {patients} patients into {folder}")
    return str(folder)


class Ingest:
    """An ingest in a process of its own, beside the imports of the run that waits for it."""

    def __init__(
        self, source: Source, config: Config, config_file: Path, out: StrPath, log: Path,
        say: Callable[[str], None] | None = None,
    ):  # fmt: skip
        """Starts it, unless the same data was ingested by the same rules before.

        Args:
            source: Images or foreign records.
            config: The experiment.
            config_file: The same, resolved, as a file.
            out: The run's `--out`; records go to `data/` below it.
            log: Where the libraries' output goes.
            say: Takes a line on what the data lack.

        Raises:
            UserError: See `labelling.label_images`.
        """
        settings = config.model_dump_json(
            include={"classes", "findings", "ingest", "split"},
            exclude={"ingest": {"uncertain"}},  # Transform's
        )
        rules = data_folder.label_rules(
            config, data_folder.Folder(source.folder, source.dataset), say
        )
        settings += repr(rules)
        code = code_digest.digest(_JOB)
        data = file_list.fingerprint(source.folder, rules.follow_links)
        for _, name in rules.layout.names():  # it may lie elsewhere
            data += file_list.fingerprint_file(os.path.join(source.folder, name))
        key = hashlib.sha256((data + settings + code).encode())
        self.folder = os.path.join(out, "data", f"records-{key.hexdigest()[:16]}")
        self.cached = output.read_report(self.folder) is not None
        self._process: subprocess.Popen[str] | None = None
        if not self.cached:
            if filesystem.is_folder(self.folder):
                # The name is ours. It was cut short, or somebody took a part of it.
                progress.log.info("%s: is not whole; the data are ingested anew", self.folder)
                filesystem.remove_folder(self.folder)
            if source.kind == "images":
                # What is wrong with the source is known at once.
                public.label_images(source.folder, rules)
            self._process = isolation.start_python(
                _COMMAND,
                ["ingest", "--out", self.folder, "--config", str(config_file), "--log", str(log),
                 "--workers-found", "--dataset", rules.dataset or data_folder.NO_DATASET,
                 "--", source.folder],
                answers=False,
            )  # fmt: skip

    def wait(self, say: Callable[..., None]) -> dict[str, Any]:
        """Waits for the end.

        Args:
            say: Takes a line of progress.

        Returns:
            The content of `ingest.json`.

        Raises:
            UserError: The input cannot be used.
        """
        if self._process:
            errors = []
            for line in self._process.stderr or ():
                if line.startswith(PROGRESS_INDENT):
                    say(line.rstrip())
                else:
                    errors.append(line)
            code, self._process = self._process.wait(), None
            message = "".join(errors).strip().removeprefix("error: ")
            output.clear(self.folder)
            if code == 2:
                raise UserError(message)
            if code < 0:
                reason = supervisor.describe_death(-code)
                raise RuntimeError(f"ingest was ended by the system: {reason}")
            if code:
                raise RuntimeError(f"ingest failed with exit code {code}: {message}")
        report = output.read_report(self.folder)
        if report is None:
            raise RuntimeError(f"{self.folder}: changed meanwhile; run the same command again")
        # Which file holds how many records is by chance, and must not decide cache keys.
        del report["files"]
        return report

    def stop(self) -> None:
        """Ends it, if it still runs."""
        if self._process:
            self._process.terminate()
            try:
                self._process.communicate(timeout=_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
            self._process = None
            output.clear(self.folder)

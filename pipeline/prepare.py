"""What comes before the first node: the network is tried, the data found and ingested."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tfxray.components.common import code_digest, contract, filenames, filesystem
from tfxray.components.common.errors import UserError
from tfxray.components.guard import rejects
from tfxray.components.ingest import output
from tfxray.components.listing import file_list
from tfxray.components.metadata import known
from tfxray.components.source import splits, tfrecords
from tfxray.pipeline import inputs
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.records import Records

if TYPE_CHECKING:
    from tfxray.components.ingest.record_scan import Scan

Say = Callable[..., None]
# Where splits are drawn by patient, one may have this share of all images, or fewer than so many.
_LARGEST_SHARE, _FEW = 0.5, 5
# Of the report of an ingest, what a run's summary has: counts of files, and whose data they are.
_OUTCOME = ("found", "images", "rejected", "reasons", "left_out", "dataset", "without_patient")
_CHECK = "tfxray.components.ingest.record_scan"  # by its name: to import it takes TensorFlow


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """A run's data.

    Attributes:
        records: For ExampleGen.
        images: How many they are.
        rejected: How many images or records were set aside.
        earlier: Of records that `tfxray ingest` wrote before: the content of their `ingest.json`.
    """

    records: Records
    images: int
    rejected: int
    earlier: Mapping[str, Any] | None = None

    @property
    def outcome(self) -> dict[str, Any]:
        """What became of the input, for the run's summary.

        Of records that nobody ingested, only how many name no patient.
        """
        report = self.records.report or self.earlier or {}
        if self.records.group != contract.PATIENT:
            report = {**report, "without_patient": self.images}
        return {name: report[name] for name in _OUTCOME if name in report}


def check_model(config: Config, download: bool = True) -> None:
    """Builds the network, so that what is wrong with it is known before data is processed.

    Args:
        config: The experiment.
        download: Let Keras download ImageNet's weights; else random ones stand in their place. A
            process that does not download does not train either, and chooses no devices.

    Raises:
        UserError: It cannot be built so, or its weights cannot be had.
    """
    from tfxray.components.networks import backbone, head
    from tfxray.components.trainer.distributed import strategy
    from tfxray.pipeline.node_settings import backbone_settings

    train = config.train
    spec = backbone.BackboneSpec(**backbone_settings(config))
    if download:
        strategy.prepare_devices(train.replicas, train.batch_size)
    else:
        spec = backbone.without_download(spec)
    if train.mode == "fine_tune":
        classifier = head.build_classifier(spec, head.HeadSpec(**config.model.head.model_dump()))
        head.unfreeze(classifier, train.unfreeze, True)
    else:
        backbone.shared_backbone(spec)


def check_classes(config: Config, out: str) -> None:
    """Sees that a push would not change what the served scores mean; the gate sees to it again.

    Args:
        config: The experiment.
        out: The folder of all runs, with the pushed versions.

    Raises:
        UserError: It would, and the config does not say that this is meant.
    """
    from tfxray.components.evaluator import gate
    from tfxray.components.predict import pushed_model
    from tfxray.pipeline.places import serving_folder

    served = pushed_model.read_served(serving_folder(out, config))
    failure = gate.changed_classes(served, config.task, config.gate.replaces_classes)
    if failure:
        raise UserError(failure)


def finish_ingest(ingest: inputs.Ingest, say: Say, whole: bool = False) -> PreparedData:
    """Waits for an ingest.

    Args:
        ingest: Under way, or done before.
        say: Takes a line, and a `style` or None.
        whole: Whether the data stay one, so that no patient can come into two splits.

    Raises:
        UserError: The input cannot be used.
    """
    report = ingest.wait(say)
    rejected, images = report["rejected"], report["images"] - report["rejected"]
    if rejected:
        path = os.path.join(ingest.folder, filenames.REJECTS)
        say(f"  {rejects.describe_rejected(rejected, report['images'], report['reasons'])}: {path}")
    for note in report["notes"]:
        if not (whole and note.startswith("splits: ")):
            say(f"  {note}")
    left_out = report["left_out"]
    say(f"  {rejects.count_files(report['found'], f'{images} written', rejected, left_out)}")
    if not report["patients_known"] and not whole:
        say(
            f"  {report['without_patient']} of {images} images name no patient, and count as a "
            "patient each: a patient may then be in two splits (ingest.pattern or a manifest tells "
            "patients)",
            style="yellow",
        )
    if unclear := report["not_understood"]:
        say(f"  {known.describe_unclear(unclear)}", style="yellow")
    for line in output.describe_image_notes(report["image_notes"]):
        say(f"  {line}", style="yellow")
    layout = tfrecords.find_layout(ingest.folder)
    if len(layout.globs) == 1 and not whole:
        require_patients(report["largest_patient"], images)
    return PreparedData(Records(layout.base, layout.globs, report=report), images, rejected)


def require_patients(largest: int, images: int) -> None:
    """Sees that splits can be drawn by patient.

    Args:
        largest: Images of the patient who has the most.
        images: All of them.

    Raises:
        UserError: That patient has most of them.
    """
    if largest >= _FEW and largest > _LARGEST_SHARE * images:
        raise UserError(
            f"{largest} of {images} images name one and the same patient, so that one split would "
            "hold them all. Is that the work of an anonymiser? Tell patients apart by the column "
            "`patient` of a manifest, by ingest.pattern, or, in TFRecords, by another feature "
            f"(ingest.features: {{{contract.PATIENT}: …}}). ingest.pattern: '(?P<patient>.+)' "
            "counts each image file as a patient of its own"
        )


def prepare_records(
    folder: str,
    config: Config,
    say: Say,
    out: str | None = None,
    start_ingest: Callable[[], inputs.Ingest] | None = None,
    whole: bool = False,
) -> PreparedData:
    """Looks through TFRecords by the contract, which are used in place if all of them keep it.

    Args:
        folder: Theirs.
        config: The experiment.
        say: Takes a line, and a `style` or None.
        out: The folder of all runs, where it is noted that these records keep the contract; None
            where nothing is noted.
        start_ingest: Starts an ingest of them, which sets aside what cannot be used. None where
            nothing is ingested.
        whole: See `finish_ingest`.

    Raises:
        UserError: They cannot be used.
    """
    from tfxray.components.ingest import record_scan

    layout = tfrecords.find_layout(filesystem.absolute_path(folder), config.split.ignore_given)
    share = splits.eval_share(layout.splits, config.split.eval_from_train, config.split.eval)
    if share is not None:
        drawn = splits.describe_draw(share, layout.splits)
        if start_ingest is None:
            raise UserError(f"{layout.base}: {drawn}. That is what `tfxray ingest` does")
        say(f"  {drawn}: the records are ingested, as images are")
        return _ingest_records(start_ingest, say, whole)
    try:
        scan = _check_once(layout, config, out)
    except record_scan.ContractBroken as breach:
        if start_ingest is None:
            raise UserError(
                f"{breach}. `tfxray ingest` writes those records that can be used"
            ) from None
        say(f"  {breach}", style="yellow")
        say("  not all records keep the data contract: they are ingested, as images are")
        try:
            return _ingest_records(start_ingest, say, whole)
        except UserError as error:
            raise UserError(f"{error}. The first of them: {breach}") from None
    if not whole:
        _check_patients(scan, layout, say)
    earlier = output.read_report(layout.base)
    return PreparedData(Records(layout.base, layout.globs, scan.group), scan.examples, 0, earlier)


def _check_patients(scan: "Scan", layout: tfrecords.Layout, say: Say) -> None:
    """Sees that splits can be drawn by patient, and says if they cannot."""
    if scan.group != contract.PATIENT:
        group = scan.group or "record"
        say(
            f"  the records name no patient ({contract.PATIENT}): split by {group}; a patient may "
            "then be in two splits",
            style="yellow",
        )
    elif len(layout.globs) == 1:
        require_patients(scan.largest_patient, scan.examples)


def _ingest_records(
    start_ingest: Callable[[], inputs.Ingest], say: Say, whole: bool
) -> PreparedData:
    ingest = start_ingest()
    try:
        return finish_ingest(ingest, say, whole)
    finally:
        ingest.stop()


def _check_once(layout: tfrecords.Layout, config: Config, out: str | None) -> "Scan":
    """Checks records, unless the same files were checked in the same way before."""
    from tfxray.components.common import artifacts
    from tfxray.components.ingest import record_scan

    limits = config.ingest.limits
    parts = (file_list.fingerprint(layout.base), layout, config.task, limits)
    key = hashlib.sha256(f"{parts}{code_digest.digest(_CHECK)}".encode()).hexdigest()[:16]
    note = os.path.join(out, "data", filenames.CHECKED.format(key)) if out else None
    if note and filesystem.is_file(note):
        try:
            with filesystem.open_file(note) as file:
                return record_scan.Scan(**json.loads(file.read()))
        except (OSError, ValueError, TypeError):  # damaged
            pass
    # Workers elsewhere answer by a file, for which only the folder of all runs is sure to do.
    workers = (config.beam.arguments(), os.path.join(out, "data")) if out else ()
    scan = record_scan.check_records(layout, config.task, limits, *workers)
    if note:
        artifacts.write_text(note, json.dumps(dataclasses.asdict(scan)))
    return scan

import shutil

import numpy as np
import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.ingest import job, moves, summary
from tfxray.components.ingest.duplicates import Entry, find_duplicates
from tfxray.components.pixels import near
from tfxray.components.source import labelling

CLASSES = ("NORMAL", "PNEUMONIA")


def test_which_copies_go_and_which_stays():
    index = [
        Entry("a", "1", "NORMAL", "all", "p"), Entry("a", "2", "NORMAL", "all", "p"),
        Entry("b", "3", "NORMAL", "all", "p"), Entry("b", "4", "PNEUMONIA", "all", "p"),
        Entry("c", "5", "NORMAL", "train", "p"), Entry("c", "6", "NORMAL", "test", "p"),
        Entry("d", "7", "NORMAL", "all", "p"), Entry("d", "8", "NORMAL", "all", "q"),
        Entry("e", "9", "NORMAL", "all", "p"),
    ]  # fmt: skip
    gone = {entry.name: why for entry, why in find_duplicates(index)}
    assert set(gone) == {"3", "4", "5"}
    assert gone["3"] == "same pixels as 4, which is PNEUMONIA"
    assert gone["5"] == "same pixels as 6 (in test)"


def test_splits_that_are_drawn_share_a_copy_until_it_is_moved():
    index = [
        Entry("a", "1", "NORMAL", "train", "p"), Entry("a", "2", "NORMAL", "eval", "q"),
        Entry("b", "3", "NORMAL", "train", "r"), Entry("b", "4", "NORMAL", "test", "s"),
    ]  # fmt: skip
    gone = find_duplicates(index, drawn=("train", "eval"))
    assert [entry.name for entry, _ in gone] == ["3"]


def test_what_hangs_together_is_moved_to_one_of_the_drawn_splits(tmp_path):
    far, close = "0" * 64, "0" * 63 + "7"
    index = [
        # A DICOM file's patient was not known when the splits were drawn.
        Entry("a", "1", "NORMAL", "train", "p"), Entry("b", "2", "NORMAL", "eval", "p"),
        # The same pixels, of two patients; and nearly the same, of unknown ones.
        Entry("c", "3", "NORMAL", "eval", "q"), Entry("c", "4", "NORMAL", "train", "r"),
        Entry("d", "5", "NORMAL", "train", "", "", far),
        Entry("e", "6", "NORMAL", "eval", "", "", close),
        # A given split stays.
        Entry("f", "7", "NORMAL", "test", "", "", far), Entry("g", "8", "NORMAL", "eval", "s"),
    ]  # fmt: skip
    drawn = [entry for entry in index if entry.split != "test"]
    for distance, expected in (
        (3, {"2": "train", "4": "eval", "6": "train"}),
        (2, {"2": "train", "4": "eval"}),
    ):
        parts = summary.Parts(str(tmp_path / str(distance)))
        for bucket, entries in enumerate((drawn[:3], drawn[3:])):
            parts.write(bucket, "kept", [entry.fields() for entry in entries])
        moves.find_moves(parts, distance, ())
        assert {entry.name: split for entry, split in parts.moves()} == expected
        counts = parts.counts()
        assert counts.moves == len(expected)
        assert sum(counts.written.values()) == 0
        together = near.Drawn(**parts.groups())
        assert (together.drawn_as, together.unknown) == ((2, 2) if distance == 3 else (1, 0))


def test_copies_are_taken_out_of_the_records_and_counted(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "in")
    (tmp_path / "in" / "manifest.csv").unlink()
    original = sorted((tmp_path / "in" / "NORMAL").glob("*.png"))[0]
    shutil.copy(original, tmp_path / "in" / "PNEUMONIA" / "copy.png")
    report = job.ingest(tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES))
    assert (report.images, report.written, report.rejected) == (301, {"all": 299}, 2)
    assert report.reasons == {"duplicate": 2}
    files = [str(p) for p in (tmp_path / "out").rglob("*.tfrecord")]
    names = [
        tf.train.Example.FromString(r)
        .features.feature[contract.FILENAME]
        .bytes_list.value[0]
        .decode()
        for r in tf.data.TFRecordDataset(files).as_numpy_iterator()
    ]
    assert len(names) == 299
    assert not {"PNEUMONIA/copy.png", f"NORMAL/{original.name}"} & set(names)


def test_copies_of_unknown_patients_stay_in_one_of_the_splits_that_an_ingest_draws(drawn, tmp_path):
    for split, names in (("train", range(0, 16)), ("test", range(16, 20))):
        for name in CLASSES:
            (tmp_path / "in" / split / name).mkdir(parents=True)
            for path in np.array(sorted((drawn / name).glob("*.png")))[list(names)]:
                shutil.copy(path, tmp_path / "in" / split / name)
                if split == "train":
                    copy = tmp_path / "in" / split / name / f"copy-{path.name}"
                    shutil.copy(path, copy)
    report = job.ingest(
        tmp_path / "in", tmp_path / "out", labelling.Rules(CLASSES, eval_from_train=0.5)
    )
    digests = {}
    for split in ("train", "eval"):
        files = [str(path) for path in (tmp_path / "out" / split).glob("*.tfrecord")]
        digests[split] = [
            tf.train.Example.FromString(r).features.feature[contract.SHA256].bytes_list.value[0]
            for r in tf.data.TFRecordDataset(files).as_numpy_iterator()
        ]
    assert not set(digests["train"]) & set(digests["eval"])
    assert all(len(set(some)) == len(some) / 2 > 0 for some in digests.values())
    assert report.without_patient == 72
    together = near.Drawn(**report.drawn_together)
    assert together.images == together.unknown == 64
    assert report.notes[-1] == f"splits: of train and eval, {together.describe()}"

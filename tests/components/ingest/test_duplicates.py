import shutil

import tensorflow as tf

from tfxray.components.common import contract
from tfxray.components.ingest import job
from tfxray.components.ingest.duplicates import Entry, find_duplicates
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
    assert set(gone) == {"3", "4", "5", "8"}
    assert gone["3"] == "same pixels as 4, which is PNEUMONIA"
    assert gone["5"] == "same pixels as 6 (in test)"
    assert gone["8"] == "same pixels as 7 (another patient)"


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

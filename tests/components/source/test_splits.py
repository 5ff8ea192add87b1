"""The splits that people were given are the splits that are judged."""

import dataclasses

import numpy as np
import pytest

from tests.components.source.test_labelling import touch
from tests.dicoms import dicom
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job
from tfxray.components.source import labelling, splits

CLASSES = ("NORMAL", "PNEUMONIA")
GIVEN = ("train", "val", "test")


def label(folder, *names, **rules):
    """Makes files and labels them; names the split of each."""
    touch(folder, *names)
    images = labelling.label_images(folder, labelling.Rules(CLASSES, **rules))
    return {row.path: row.split for row in images.rows}, images


def tree(form, given=GIVEN, classes=CLASSES):
    return [form.format(split=s, label=c) for s in given for c in classes]


@pytest.mark.parametrize(
    "form",
    [
        "{split}/{label}/a.png",
        "{label}/{split}/a.png",
        "chest_xray/{split}/{label}/a.png",
        "archive/chest_xray/{split}/{label}/images/a.png",
        "archive/{label}/{split}/a.png",
        "{split}_images/{label}/a.png",
        "stage_2_{split}_images/{label}/a.png",
        "{split}_{label}/{label}/a.png",
    ],
)
def test_split_folders_are_found_at_any_one_depth(tmp_path, form):
    found, images = label(tmp_path, *tree(form))
    meaning = {"train": "train", "val": "eval", "test": "test"}
    assert found == {form.format(split=s, label=c): meaning[s] for s in GIVEN for c in CLASSES}
    assert {row.path: row.label for row in images.rows} == {
        form.format(split=s, label=c): c for s in GIVEN for c in CLASSES
    }
    assert (
        "splits: train 2, eval 2, test 2 images, given by the folders " in images.listing.notes[-1]
    )


@pytest.mark.parametrize("classes", [CLASSES, ()])
@pytest.mark.parametrize("wrapper", ["", "PNEUMONIA/"])
def test_an_archives_own_folder_is_no_class(tmp_path, wrapper, classes):
    touch(tmp_path, *(f"{wrapper}{split}/{c}/a.png" for split in GIVEN for c in CLASSES))
    images = labelling.label_images(tmp_path, labelling.Rules(classes))
    assert images.task.names == CLASSES
    assert all(f"/{row.label}/a.png" in row.path for row in images.rows)


@pytest.mark.parametrize(
    "words",
    [
        ("Training", "Validation", "Testing"),
        ("TRAIN", "VALID", "TEST"),
        ("train", "validate", "test"),
        ("train", "dev", "test"),
        ("training", "eval", "testing"),
        ("TrainSet", "ValSet", "TestSet"),
    ],
)
def test_other_words_for_splits_are_known(tmp_path, words):
    found, _ = label(tmp_path, *tree("{split}/{label}/a.png", words))
    assert [found[f"{word}/NORMAL/a.png"] for word in words] == ["train", "eval", "test"]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("samples/NORMAL/x.png", "samples/ (no split, 1 images)"),
        ("holdout/NORMAL/x.png", "holdout/ (no split, 1 images)"),
        ("train_old/NORMAL/x.png", "train_old/ (no split, 1 images)"),
        ("chest_xray/train/NORMAL/x.png", "chest_xray/ (no split, 1 images)"),
        ("NORMAL/x.png", "NORMAL/ (no split, 1 images)"),
    ],
)
def test_what_half_matches_is_refused_with_what_was_found(tmp_path, extra, told):
    names = [*tree("{split}/{label}/a.png"), extra]
    with pytest.raises(UserError) as caught:
        label(tmp_path, *names)
    assert told in str(caught.value)
    assert "train/ (train, 2 images)" in str(caught.value)
    assert "ingest.exclude" in str(caught.value)
    found, _ = label(tmp_path, *names, exclude=(f"/{extra.split('/')[0]}",))
    assert sorted(set(found.values())) == ["eval", "test", "train"]
    found, _ = label(tmp_path, *names, ignore_given=True)
    assert set(found.values()) == {None}


def test_a_few_folders_deep_down_do_not_split_the_rest(tmp_path):
    names = [f"{c}/{i}.png" for c in CLASSES for i in range(9)]
    with pytest.raises(UserError, match="some folders are named after splits"):
        label(tmp_path, *names, "NORMAL/test/x.png")


def test_folders_at_two_depths_are_refused(tmp_path):
    names = [f"{a}/{c}/{b}/x.png" for a in GIVEN for b in GIVEN for c in CLASSES]
    with pytest.raises(UserError, match=r"several depths \(1 and 3\)"):
        label(tmp_path, *names)


def test_patients_who_are_called_as_splits_are_none(tmp_path):
    names = [f"{c}/{p}/a.png" for c in CLASSES for p in ("Dev_Patel", "Val_K", "John_Doe")]
    found, images = label(tmp_path, *names)
    assert set(found.values()) == {None}
    assert images.listing.notes == ["splits: drawn by patient (none are given)"]


def test_a_class_that_is_called_as_a_split_is_a_class(tmp_path):
    touch(tmp_path, "NORMAL/a.png", "test/b.png")
    images = labelling.label_images(tmp_path, labelling.Rules(("NORMAL", "test")))
    assert {row.split for row in images.rows} == {None}


def test_stray_images_are_rejected_by_name(tmp_path):
    found, images = label(tmp_path, *tree("{split}/{label}/a.png"), "sample.png")
    assert found["sample.png"] is None
    assert [row.path for row in images.rows if row.label is None] == ["sample.png"]


def test_without_val_eval_is_drawn_out_of_train(tmp_path):
    names = [f"{s}/{c}/p{i}_{k}.png" for s in ("train", "test") for c in CLASSES
             for i in range(40) for k in (1, 2)]  # fmt: skip
    found, images = label(tmp_path, *names, pattern=r"(?P<patient>p\d+)_", eval_share=0.3)
    by_patient = {}
    for path, split in found.items():
        if path.startswith("train"):
            by_patient.setdefault(path.split("/")[-1].split("_")[0], set()).add(split)
    assert all(len(split) == 1 for split in by_patient.values())
    drawn = sum(split == {"eval"} for split in by_patient.values())
    assert 4 <= drawn <= 20
    assert all(split == "test" for path, split in found.items() if path.startswith("test"))
    assert "30% of the patients in train are drawn for eval" in images.listing.notes[-1]


def test_patients_that_dicom_alone_tells_go_to_one_split(tmp_path):
    rng = np.random.default_rng(1)
    for split, patients in (("train", range(12)), ("test", range(20, 24))):
        for patient in patients:
            for number in (1, 2):
                pixels = rng.uniform(0, 255, (32, 32))
                path = tmp_path / "in" / split / CLASSES[patient % 2] / f"{patient}_{number}.dcm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dicom(pixels, bits=8, PatientID=f"p{patient}"))
    rules = labelling.Rules(CLASSES, eval_share=0.4)
    report = job.ingest(tmp_path / "in", tmp_path / "out", rules)
    assert report.written["test"] == 8
    assert report.written["train"] + report.written["eval"] == 24
    assert report.written["eval"] > 0
    assert report.written["eval"] % 2 == 0
    assert report.patients_known


def listed(tmp_path, **lists):
    """Six images in folders of an archive, and lists of some by their names."""
    touch(tmp_path, *(f"images_{n % 2}/images/{n}_0.png" for n in range(6)))
    rows = "".join(f"{n}_0.png,{CLASSES[n % 2]},p{n}\n" for n in range(6))
    (tmp_path / "manifest.csv").write_text("path,label,patient\n" + rows)
    for split, names in lists.items():
        (tmp_path / f"{split}_list.txt").write_text("".join(f"{name}\n" for name in names))
    return labelling.Rules(CLASSES, split_lists={split: f"{split}_list.txt" for split in lists})


def test_files_may_list_the_images_of_each_split(tmp_path):
    rules = listed(
        tmp_path, train=["0_0.png", "1_0.png", "", "2_0.png"], test=["images_1/images/3_0.png"]
    )
    images = labelling.label_images(tmp_path, rules)
    found = {row.path.rpartition("/")[2]: row.split for row in images.rows}
    assert {found[f"{n}_0.png"] for n in range(3)} <= {"train", "eval"}
    assert found["3_0.png"] == "test"
    unlisted = [row for row in images.rows if row.split is None]
    assert [row.path.rpartition("/")[2] for row in unlisted] == ["4_0.png", "5_0.png"]
    assert not any(row.labelled for row in unlisted)  # so they are rejected, aloud
    assert "given by the lists train_list.txt, test_list.txt" in images.listing.notes[-1]


def test_an_image_that_two_lists_have_is_told_with_its_line(tmp_path):
    rules = listed(tmp_path, train=["0_0.png", "1_0.png"], test=["2_0.png", "1_0.png"])
    with pytest.raises(UserError, match=r"test_list.txt: line 2 .* train_list.txt, too"):
        labelling.label_images(tmp_path, rules)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["images_0/images/0_0.png"], ["0_0.png"], "test_list.txt: line 1 .* train_list.txt, too"),
        (["a.png"], ["0_0.png"], r"train_list.txt: lists no image below .*split.lists.train"),
        (["0_0.png"], [], r"test_list.txt: lists no image below .*split.lists.test"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path, train, test, message):
    with pytest.raises(UserError, match=message):
        labelling.label_images(tmp_path, listed(tmp_path, train=train, test=test))


def test_lists_may_have_whole_paths_and_images_that_are_not_there(tmp_path):
    rules = listed(
        tmp_path,
        train=[f"{tmp_path}/images_0/images/0_0.png", "./images_1/images/1_0.png", "99_0.png"],
        test=["images_0\\images\\2_0.png", "3_0.png"],
    )
    images = labelling.label_images(tmp_path, rules)
    splits = {row.path.rpartition("/")[2]: row.split for row in images.rows}
    assert splits["2_0.png"] == splits["3_0.png"] == "test"
    assert {splits["0_0.png"], splits["1_0.png"]} <= {"train", "eval"}
    assert "1 images of the lists in split.lists are not there" in images.listing.notes
    assert "2 images are in none of the lists in split.lists: rejected" in images.listing.notes


def test_findings_of_an_image_that_no_list_has_are_not_used(tmp_path):
    rules = listed(tmp_path, train=["0_0.png", "1_0.png"], test=["2_0.png", "3_0.png"])
    rows = "".join(f"{n}_0.png,{n % 2},p{n}\n" for n in range(6))
    (tmp_path / "manifest.csv").write_text("path,Edema,patient\n" + rows)
    rules = dataclasses.replace(rules, classes=(), findings=("Edema",))
    images = labelling.label_images(tmp_path, rules)
    assert [row.path.rpartition("/")[2] for row in images.rows if not row.labelled] == [
        "4_0.png", "5_0.png"
    ]  # fmt: skip


def test_a_list_that_is_not_there_is_told_with_its_key(tmp_path):
    rules = listed(tmp_path, train=["0_0.png"])
    rules = dataclasses.replace(rules, split_lists={**rules.split_lists, "test": "tests.txt"})
    with pytest.raises(UserError, match=r"tests.txt: cannot be read \(split.lists.test\)"):
        labelling.label_images(tmp_path, rules)


def test_a_handful_of_patients_is_shared_out_with_one_for_eval(tmp_path):
    names = [f"{split}/{label}/p{n}_0.png" for split in ("train", "test") for label in "NP"
             for n in (1, 2)]  # fmt: skip
    touch(tmp_path, *names)
    for share in (0.01, 0.15):
        rules = labelling.Rules(("N", "P"), pattern=r"(?P<patient>p\d+)", eval_share=share)
        rows = labelling.label_images(tmp_path, rules).rows
        patients = {split: {r.metadata["patient"] for r in rows if r.split == split}
                    for split in ("train", "eval")}  # fmt: skip
        assert [len(patients[split]) for split in ("train", "eval")] == [1, 1]
        # The workers draw again, by what the row says.
        assert all(splits.draw_split(r.split, r.metadata["patient"], r.eval_share) == r.split
                   for r in rows)  # fmt: skip

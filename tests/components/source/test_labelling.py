import pytest

from tests.conftest import ROOT
from tfxray.components.common.errors import UserError
from tfxray.components.metadata.known import read_known
from tfxray.components.source import labelling
from tfxray.pipeline.config.loader import load_config

CLASSES = ("NORMAL", "PNEUMONIA")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_class_folders_give_labels_and_stray_files_are_left_aside(tmp_path):
    touch(tmp_path, "NORMAL/a.png", "PNEUMONIA/b.jpeg", "PNEUMONIA/x/c", "notes.txt",
          "NORMAL/.DS_Store", "__MACOSX/NORMAL/a.png")  # fmt: skip
    rows, task, _ = labelling.label_images(tmp_path, labelling.Rules(CLASSES))
    assert [(r.path, r.label) for r in rows] == [
        ("NORMAL/a.png", "NORMAL"),
        ("PNEUMONIA/b.jpeg", "PNEUMONIA"),
        ("PNEUMONIA/x/c", "PNEUMONIA"),
    ]
    assert task.names == CLASSES
    assert labelling.label_images(tmp_path, labelling.Rules()).task.names == CLASSES


def test_a_manifest_counts_before_the_pattern_and_the_pattern_before_the_folder(tmp_path):
    touch(tmp_path, "x/1_0.png", "x/2_1.png", "x/3_1.png")
    (tmp_path / "manifest.csv").write_text(
        "path,label,patient_id,age,sex\nx/1_0.png,PNEUMONIA,p9,61,F\nx/2_1.png,,,,\nx/gone.png,NORMAL,,,\n"
    )
    rules = labelling.Rules(
        CLASSES,
        pattern=r"(?P<patient>\d+)_(?P<label>[01])",
        labels={"0": "NORMAL", "1": "PNEUMONIA"},
    )
    rows, *_ = labelling.label_images(tmp_path, rules)
    assert [(r.path, r.label, r.metadata.get("patient")) for r in rows] == [
        ("x/1_0.png", "PNEUMONIA", "p9"),
        ("x/2_1.png", "PNEUMONIA", "2"),
        ("x/gone.png", "NORMAL", None),
    ]
    assert rows[0].metadata["age"] == "61"


def test_kermanys_names_give_patients_that_do_not_collide_between_series(tmp_path):
    touch(tmp_path, "NORMAL/IM-0001-0001.jpeg", "NORMAL/NORMAL2-IM-0001-0001.jpeg",
          "PNEUMONIA/person1_bacteria_2.jpeg", "PNEUMONIA/person1_virus_7.jpeg")  # fmt: skip
    pattern = load_config(ROOT / "configs" / "kermany_mobilenet_v2.yaml").ingest.pattern
    rows, *_ = labelling.label_images(tmp_path, labelling.Rules(CLASSES, pattern=pattern))
    assert [r.metadata["patient"] for r in rows] == [
        "IM-0001", "NORMAL2-IM-0001", "bacteria-1", "virus-1",
    ]  # fmt: skip


def test_given_splits_are_taken_and_val_is_eval(tmp_path):
    touch(tmp_path, *(f"{s}/{c}/a.png" for s in ("train", "val", "test") for c in CLASSES))
    rows, *_ = labelling.label_images(tmp_path, labelling.Rules(CLASSES))
    assert {r.split for r in rows} == {"train", "eval", "test"}
    assert {r.label for r in rows} == set(CLASSES)
    rows, *_ = labelling.label_images(tmp_path, labelling.Rules(CLASSES, ignore_given=True))
    assert {r.split for r in rows} == {None}


def test_eval_can_be_drawn_out_of_train_and_keeps_patients_whole(tmp_path):
    names = [f"train/{c}/p{i}_{k}.png" for c in CLASSES for i in range(60) for k in range(2)]
    touch(tmp_path, *names, "test/NORMAL/a.png", "val/NORMAL/p1_9.png")
    rules = labelling.Rules(CLASSES, pattern=r"(?P<patient>p\d+)_", eval_from_train=0.25)
    rows, *_ = labelling.label_images(tmp_path, rules)
    splits = {}
    for row in rows:
        splits.setdefault(row.metadata.get("patient"), set()).add(row.split)
    splits_of_draw = [next(iter(s)) for p, s in splits.items() if p]
    assert all(len(s) == 1 for s in splits.values())
    assert 5 <= splits_of_draw.count("eval") <= 25


def test_a_word_for_an_unknown_patient_is_no_patient_who_is_drawn(tmp_path):
    """Drawn as a patient, `unknown` took 70 % of all images along, since it had to be in `eval`."""
    names = [f"{split}/{c}/{i}.png" for split in ("train", "test") for c in CLASSES for i in (1, 2)]
    touch(tmp_path, *names)
    rows = [f"{name},unknown" for name in names]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,patient", *rows]))
    rules = labelling.Rules(CLASSES, eval_from_train=0.25)
    found = labelling.label_images(tmp_path, rules).rows
    # Drawn where they are read, each by itself.
    assert {(row.split, row.eval_share) for row in found} == {("train", 0.25), ("test", 0.25)}
    rules = labelling.Rules(CLASSES, pattern="(?P<kind>NORMAL|PNEUMONIA)/(?P<patient>.)")
    (tmp_path / "manifest.csv").unlink()
    assert {r.metadata["patient"] for r in labelling.label_images(tmp_path, rules).rows} == {
        f"{c}-{i}" for c in CLASSES for i in (1, 2)
    }
    for name in names:
        (tmp_path / name).rename((tmp_path / name).with_name(f"u{name[-5:]}"))
    found = labelling.label_images(tmp_path, rules).rows
    assert {read_known(row.metadata).patient for row in found} == {""}


@pytest.mark.parametrize(
    ("names", "rules", "message"),
    [
        ((), {}, "holds no images"),
        (("NORMAL/a.png",), {}, "two classes or more; found NORMAL: 1; none of PNEUMONIA"),
        (("NORMAL/a.png", "TB/b.png"), {}, "'TB' (1 images, first TB/b.png)"),
        (("a.png",), {}, "nothing tells the class"),
        (("train/NORMAL/a.png", "val/PNEUMONIA/b.png"), {}, "lack test"),
        (("NORMAL/a.png",), {"manifest": "m.csv"}, "no such manifest"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(tmp_path, names, rules, message):
    touch(tmp_path, *names)
    with pytest.raises(UserError) as caught:
        labelling.label_images(tmp_path, labelling.Rules(CLASSES, **rules))
    assert message in str(caught.value)


def test_a_manifest_without_paths_is_refused(tmp_path):
    touch(tmp_path, "NORMAL/a.png")
    (tmp_path / "manifest.csv").write_text("file,label\nNORMAL/a.png,NORMAL\n")
    with pytest.raises(UserError, match="needs a column `path`; has: file, label"):
        labelling.label_images(tmp_path, labelling.Rules(CLASSES))

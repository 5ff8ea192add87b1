"""Words for classes and findings are read by the config alone: lists, parts, several readers."""

import pytest

from tests.components.source.test_doors import FINDINGS, label, refusal, told
from tests.components.source.test_labelling import touch
from tfxray.components.source import labelling
from tfxray.components.source.rows import Rules
from tfxray.pipeline.config.config import Config


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("['edema', ' mass']", {"Edema": 1, "Mass": 1}),
        ('["edema"]', {"Edema": 1, "Mass": 0}),
        ("['normal']", {"Edema": 0, "Mass": 0}),
        ("['unchanged']", {"Edema": 0, "Mass": 0}),
        ("['as before', 'edema']", {"Edema": 1, "Mass": 0}),
        ("['as before']", None),
        ("['as before', 'normal']", {"Edema": 0, "Mass": 0}),
        ("[]", None),
        ("['']", None),
        ("", None),
    ],
)
def test_labels_may_be_a_list(tmp_path, cell, values):
    labelled = label(
        tmp_path,
        {"m.csv": f'path,label\na.png,"{cell.replace(chr(34), chr(34) * 2)}"\n'
         "b.png,\"['edema','mass']\"\nc.png,\"['edema', 'exclude']\"\n"},
        ["a.png", "b.png", "c.png"],
        findings=FINDINGS, manifest="m.csv", label_separator="list",
        labels={"unchanged": "", "as before": "?", "exclude": None},
    )  # fmt: skip
    assert told(labelled) == {"a.png": values, "b.png": {"Edema": 1, "Mass": 1}}
    assert labelled.listing.count_left_out()["dropped"] == 1


@pytest.mark.parametrize("cell", ["edema", "__import__('os').system('x')", "[1, 2]", "{'a': 1}"])
def test_a_text_that_is_no_list_is_refused(tmp_path, cell):
    table = f"path,label\na.png,\"{cell}\"\nb.png,\"['edema', 'mass']\"\n"
    message = refusal(
        tmp_path, {"m.csv": table}, ["a.png", "b.png"], findings=FINDINGS, manifest="m.csv",
        label_separator="list",
    )  # fmt: skip
    assert "words that are none of the findings" in message


TREE = {
    "m.csv": "path,label\na.png,Pneumonia/Viral/COVID-19\nb.png,No Finding\nc.png,todo\n"
    "d.png,Tuberculosis\ne.png,Pneumonia\n"
}
TREES = ["a.png", "b.png", "c.png", "d.png", "e.png"]


def test_parts_of_a_word_tell_findings_and_classes(tmp_path):
    labels = {"todo": None, "*": ""}
    rules = {"manifest": "m.csv", "label_parts": "/"}
    labelled = label(
        tmp_path, TREE, TREES, findings=("Pneumonia", "COVID-19"), labels=labels, **rules
    )
    assert told(labelled) == {
        "a.png": {"Pneumonia": 1, "COVID-19": 1},
        "b.png": {"Pneumonia": 0, "COVID-19": 0},
        "d.png": {"Pneumonia": 0, "COVID-19": 0},
        "e.png": {"Pneumonia": 1, "COVID-19": 0},
    }
    classes = ("No Finding", "Pneumonia", "COVID-19")
    labelled = label(tmp_path, TREE, TREES, classes=classes, labels={"*": None}, **rules)
    assert told(labelled) == {"a.png": "COVID-19", "b.png": "No Finding", "e.png": "Pneumonia"}
    assert labelled.listing.count_left_out()["dropped"] == 2


def test_words_of_columns_and_empty_cells(tmp_path):
    rows = ["a.png,YES,,", "b.png,NO,maybe,", "c.png,,,1", "d.png,NO,x,", "e.png,NO,YES,"]
    table = {"m.csv": "path,Edema,Mass,none\n" + "\n".join(rows)}
    values = {"maybe": "uncertain", "x": "drop"}
    paths = [row.partition(",")[0] for row in rows]
    rules = {"findings": FINDINGS, "manifest": "m.csv", "columns": {"no_finding": "none"}}
    labelled = label(tmp_path, table, paths, values=values, **rules)
    assert told(labelled) == {
        "a.png": {"Edema": 1},
        "b.png": {"Edema": 0, "Mass": -1},
        "c.png": {"Edema": 0, "Mass": 0},
        "e.png": {"Edema": 0, "Mass": 1},
    }
    labelled = label(tmp_path, table, paths, values=values, blank="negative", **rules)
    assert told(labelled)["a.png"] == {"Edema": 1, "Mass": 0}
    message = refusal(tmp_path, table, paths, **rules)
    assert "column of Mass has values (first 'maybe')" in message
    assert "lines 3, 5" in message


def test_devices_are_no_finding_that_no_finding_excludes(tmp_path):
    # github.com/stanfordmlgroup/chexpert-labeler: No Finding may stand beside Support Devices.
    table = "path,No Finding,Edema,Support Devices\na.png,1.0,,\nb.png,,1.0,1.0\nc.png,1.0,,1.0\n"
    labelled = label(
        tmp_path, {"m.csv": table}, ["a.png", "b.png", "c.png"],
        findings=("Edema", "Support Devices"), manifest="m.csv",
        columns={"no_finding": "No Finding"},
    )  # fmt: skip
    assert told(labelled) == {
        "a.png": {"Edema": 0},
        "b.png": {"Edema": 1, "Support Devices": 1},
        "c.png": {"Edema": 0, "Support Devices": 1},
    }


READERS = """path,reader,label
a.png,R1,Edema
a.png,R1,Mass
a.png,R2,Edema
a.png,R3,No finding
b.png,R1,No finding
b.png,R2,Mass
c.png,R1,Edema
c.png,R2,Edema|Mass
d.png,R1,Mass
"""


def test_several_readers_by_majority_or_by_any(tmp_path):
    rules = {"findings": FINDINGS, "manifest": "m.csv"}
    args = (tmp_path, {"m.csv": READERS}, ["a.png", "b.png", "c.png", "d.png"])
    assert told(label(*args, several="majority", **rules)) == {
        "a.png": {"Edema": 1, "Mass": 0},  # 2 of 3, 1 of 3
        "b.png": {"Edema": 0, "Mass": -1},  # 1 of 2
        "c.png": {"Edema": 1, "Mass": -1},
        "d.png": {"Edema": 0, "Mass": 1},
    }
    assert told(label(*args, several="any", **rules)) == {
        "a.png": {"Edema": 1, "Mass": 1},
        "b.png": {"Edema": 0, "Mass": 1},
        "c.png": {"Edema": 1, "Mass": 1},
        "d.png": {"Edema": 0, "Mass": 1},
    }
    assert "for 3 images: lines 2 and 3 of a.png" in refusal(*args, **rules)


def test_several_readers_of_classes(tmp_path):
    table = "path,reader,label\n" + "".join(
        f"{name}.png,R{number},{label}\n"
        for name, labels in {"a": "NPP", "b": "NNP", "c": "NP", "d": "PP"}.items()
        for number, label in enumerate(labels)
    )
    args = (tmp_path, {"m.csv": table}, ["a.png", "b.png", "c.png", "d.png"])
    rules = {"classes": ("N", "P"), "manifest": "m.csv"}
    labelled = label(*args, several="majority", **rules)
    assert told(labelled) == {"a.png": "P", "b.png": "N", "c.png": None, "d.png": "P"}
    assert any(note.startswith("1 images have rows without a majority") for note in
               labelled.listing.notes)  # fmt: skip
    (tmp_path / "m.csv").write_text(table + "e.png,,N\n")
    touch(tmp_path, "e.png")
    labelled = labelling.label_images(tmp_path, Rules(**rules, several="any"))
    assert told(labelled) == dict.fromkeys(["a.png", "b.png", "c.png", "d.png"], "P") | {
        "e.png": "N"
    }


def test_rows_of_one_image_must_agree_on_its_patient(tmp_path):
    table = "path,patient,reader,label\na.png,1,R1,N\na.png,2,R2,P\nb.png,3,R1,P\n"
    message = refusal(
        tmp_path, {"m.csv": table}, ["a.png", "b.png"], classes=("N", "P"), manifest="m.csv",
        several="any",
    )  # fmt: skip
    assert "lines 2 and 3 of a.png" in message
    assert "a patient" in message


def test_what_contradicts_itself_or_is_half_understood_is_said(tmp_path):
    table = "path,Edema,Mass,none\na.png,1,,1\nb.png,,1,\n"
    labelled = label(
        tmp_path, {"m.csv": table}, ["a.png", "b.png"], findings=FINDINGS, manifest="m.csv",
        columns={"no_finding": "none"},
    )  # fmt: skip
    assert told(labelled)["a.png"] == {"Edema": 1, "Mass": 0}
    assert any(note.startswith("1 images have a finding, and a cell that says that there is none")
               for note in labelled.listing.notes)  # fmt: skip
    table = "path,label\na.png,Mass/Huge\nb.png,Edema\n"
    labelled = label(
        tmp_path, {"m.csv": table}, ["a.png", "b.png"], findings=FINDINGS, manifest="m.csv",
        label_parts="/",
    )  # fmt: skip
    assert "parts of words that mean none of the findings: Huge (1)" in labelled.listing.notes
    table = "path,label\na.png,No Finding|Mass\nb.png,Edema\n"
    message = refusal(
        tmp_path, {"m.csv": table}, ["a.png", "b.png"], findings=FINDINGS, manifest="m.csv"
    )
    assert "1 images have a finding and No Finding (1), first of a.png" in message


def test_a_word_for_all_others(tmp_path):
    table = "path,label\na.png,-1\nb.png,557374 2 1015\nc.png,\n"
    labelled = label(
        tmp_path, {"m.csv": table}, ["a.png", "b.png", "c.png"], classes=("none", "some"),
        manifest="m.csv", labels={"-1": "none", "": "none", "*": "some"},
    )  # fmt: skip
    assert told(labelled) == {"a.png": "none", "b.png": "some", "c.png": "none"}


def test_a_word_may_mean_several_findings(tmp_path):
    labelled = label(
        tmp_path,
        {"m.csv": "path,label\n1.png,Both\n2.png,Mass\n3.png,Edema/Both\n"},
        ["1.png", "2.png", "3.png"],
        findings=FINDINGS, manifest="m.csv", label_parts="/", labels={"Both": "Edema|Mass"},
    )  # fmt: skip
    both = {"Edema": 1, "Mass": 1}
    assert told(labelled) == {"1.png": both, "2.png": {"Edema": 0, "Mass": 1}, "3.png": both}


def test_a_config_may_name_several_findings_for_a_word_and_no_others():
    def config(meaning):
        return Config(name="x", findings=list(FINDINGS), ingest={"labels": {"Both": meaning}})

    assert config("Edema|Mass").ingest.labels == {"Both": "Edema|Mass"}
    with pytest.raises(ValueError, match=r"ingest.labels: \['Hernia'\] are none of the findings"):
        config("Edema|Hernia")


def test_texts_of_metadata_may_stand_for_others(tmp_path):
    labelled = label(
        tmp_path,
        {"m.csv": "path,label,sex,site\n1.png,N,0,RNSA\n2.png,P,1,rsna\n3.png,P,M,\n"},
        ["1.png", "2.png", "3.png"],
        classes=("N", "P"), manifest="m.csv", defaults={"site": "here"},
        meanings={"sex": {"0": "F", "1": "M"}, "site": {"rnsa": "rsna"}},
    )  # fmt: skip
    assert [(r.metadata["sex"], r.metadata["site"]) for r in labelled.rows] == [
        ("F", "rsna"), ("M", "rsna"), ("M", "here"),
    ]  # fmt: skip


def test_lists_of_splits_may_begin_at_the_root_without_a_table(tmp_path):
    parts = {"train": ["N/1.png", "P/2.png"], "eval": ["N/3.png"], "test": ["P/4.png"]}
    labelled = label(
        tmp_path,
        {f"{split}.txt": "\n".join(names) for split, names in parts.items()},
        [f"imgs/{name}" for names in parts.values() for name in names],
        classes=("N", "P"), root="imgs", split_lists={split: f"{split}.txt" for split in parts},
    )  # fmt: skip
    assert {row.path: row.split for row in labelled.rows} == {
        f"imgs/{name}": split for split, names in parts.items() for name in names
    }

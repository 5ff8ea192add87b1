"""What folders, tables and file names tell: the right guess, or a word that it is one."""

import pytest

from tests.pipeline.proposal.folders import touch
from tfxray.components.common.errors import UserError
from tfxray.pipeline.proposal import class_folders, class_words, folder, patients


def look(path):
    return folder.look_at_images(str(path))


def images(path, *parents, count=2):
    for place, parent in enumerate(parents):
        touch(path, *(f"{parent}/{place}x{n}.png" for n in range(count)))


@pytest.mark.parametrize(
    "parents",
    [
        ("Meier Hans", "Schulz Anna", "Koch Jan"),
        ("batch1", "batch2"),
        ("hospital 0/2020", "hospital 0/2021", "hospital 1/2020"),
    ],
)
def test_classes_lie_below_persons_batches_and_hospitals(tmp_path, parents):
    images(tmp_path, *(f"{parent}/{label}" for parent in parents for label in ("ILL", "NORMAL")))
    proposal = look(tmp_path)
    assert proposal.classes == ["NORMAL", "ILL"]
    line = next(line for line in proposal.told if line.startswith("folders at several levels"))
    assert "(ILL, NORMAL), not the" in line
    assert "Meier" not in line
    assert "'^(?P<patient>[^/]+)/'" in line


def test_without_known_words_those_count_that_recur(tmp_path):
    images(tmp_path, *(f"{site}/{label}" for site in "xy" for label in ("mesothelioma", "else")))
    assert look(tmp_path).classes == ["else", "mesothelioma"]


def test_views_and_kinds_of_files_recur_and_are_no_classes(tmp_path):
    images(tmp_path, *(f"{label}/{kind}" for label in ("a", "b") for kind in ("PA", "AP")))
    proposal = look(tmp_path)
    assert proposal.classes == ["a", "b"]
    assert not any("several levels" in line for line in proposal.told)
    assert any("none of the classes is known as the negative one" in t for t in proposal.told)


def test_patients_below_classes_are_no_choice():
    level = class_folders.find_level([f"{c}/{p}/1.png" for c in ("TB", "no TB") for p in "klm"])
    assert level.counts == {"TB": 3, "no TB": 3}
    assert level.lines(True) == []


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("COVID-", "COVID+"), "COVID-"),
        (("Abnormal", "Healthy lungs"), "Healthy lungs"),
        (("Befund", "gesund"), "gesund"),
        (("a", "not normal"), "a"),
        (("Effusion", "No Effusion"), "No Effusion"),
        (("0", "1", "2"), "0"),
        (("Covid", "Non-Covid", "Normal"), "Non-Covid"),
    ],
)
def test_the_negative_class_is_first(names, first):
    assert class_words.order_classes(names)[0] == first


def test_ways_of_writing_one_class_and_words_for_nothing():
    found = class_words.read_classes({"NORMAL": 3, "normal": 9, "NaN": 2, "Sick": 5, "unknown": 1})
    assert found.names == ["normal", "Sick"]
    assert found.labels == {"NORMAL": "normal", "NaN": None, "unknown": None}
    assert any("NORMAL: taken for one class" in line for line in found.told)
    assert class_words.read_classes({"+": 3, "-": 3}).names == ["-", "+"]


def table(path, *rows, name="t.csv", count=8):
    """Images 0.png to 7.png in `im`, and a table."""
    touch(path, *(f"im/{n}.png" for n in range(count)))
    (path / name).write_text("\n".join(rows))
    return look(path)


def cells(heading, *values):
    return (heading, *(f"{n}.png,{values[n % len(values)]}" for n in range(8)))


@pytest.mark.parametrize(
    ("heading", "values", "classes", "keys"),
    [
        ("file,pneumonia", ("TRUE", "FALSE"), ["negative", "positive"], {"label": "pneumonia"}),
        ("file,krank", ("ja", "nein"), ["negative", "positive"], {"label": "krank"}),
        ("file,Ergebnis", ("gesund", "Befund"), ["gesund", "Befund"], {"label": "Ergebnis"}),
        ("file,normal,sick", ("1,0", "0,1"), ["negative", "positive"], {"label": "sick"}),
        ("file,label,set", ("well,A 1", "ill,B 2"), ["well", "ill"], {}),
    ],
)
def test_columns_that_tell_classes(tmp_path, heading, values, classes, keys):
    proposal = table(tmp_path, *cells(heading, *values))
    assert sorted(proposal.classes) == sorted(classes)
    assert proposal.classes[1] == classes[1] or not keys
    assert proposal.ingest["columns"] == {"path": "file", **keys}


def test_json_and_a_table_without_headings(tmp_path):
    rows = ",".join(f'{{"file": "{n}.png", "label": "{"ab"[n % 2]}"}}' for n in range(8))
    (tmp_path / "j").mkdir()
    assert table(tmp_path / "j", f"[{rows}]", name="l.json").ingest["manifest"] == "l.json"
    (tmp_path / "h").mkdir()
    proposal = table(tmp_path / "h", *cells("gone.png,normal,K", "normal,K", "ill,L"))
    assert proposal.ingest["headings"] == ["path", "label", "column_3"]
    assert proposal.classes == ["normal", "ill"]
    assert any("has no line of headings" in line for line in proposal.told)


def test_findings_between_commas(tmp_path):
    proposal = table(
        tmp_path, *cells("file,finding", "Mass", '"Edema, Mass"', "No Finding", "unknown")
    )
    assert proposal.findings == ["Edema", "Mass"]
    assert proposal.ingest["label_separator"] == "comma"
    assert proposal.ingest["labels"] == {"unknown": "?"}


def test_columns_of_patients_are_no_findings(tmp_path):
    with pytest.raises(UserError, match=r"none of its columns \(male, smoker\) is known to tell"):
        table(tmp_path, *cells("file,male,smoker", "0,1", "1,1"))


def test_folders_that_tell_classes_beside_a_table(tmp_path):
    touch(tmp_path, *(f"{('NORMAL', 'TB')[n % 2]}/{n}.png" for n in range(8)))
    (tmp_path / "t.csv").write_text("\n".join(cells("file,fever,cough", "0,1", "1,1")))
    proposal = look(tmp_path)
    assert proposal.classes == ["NORMAL", "TB"]
    assert "columns of yes and no (fever, cough)" in proposal.unclear[0]
    (tmp_path / "t.csv").write_text("\n".join(cells("file,label", "normal", "tb", "tb")))
    proposal = look(tmp_path)
    assert proposal.classes == ["normal", "tb"]
    assert any("3 images lie in the folder of another class" in line for line in proposal.told)


@pytest.mark.parametrize("root", ["/data/x", "C:\\data\\x"])
def test_absolute_paths_of_another_machine(tmp_path, root):
    sep = "\\" if "\\" in root else "/"
    rows = (f"{root}{sep}im{sep}{n}.png,{'ab'[n % 2]}" for n in range(8))
    assert table(tmp_path, "file,label", *rows).ingest["root"] == root.replace("\\", "/")


def test_what_was_seen_of_a_table_that_tells_nothing(tmp_path):
    with pytest.raises(UserError) as refused:
        table(tmp_path, *cells("file,Wert", "17", "18"))
    assert "t.csv names the images, and none of its columns (Wert) is known" in str(refused.value)
    (tmp_path / "t.csv").write_text("who,Wert\nme,91\nyou,92\n")
    with pytest.raises(UserError, match=r"t.csv: none of its columns \(who, Wert\) names the"):
        look(tmp_path)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("normal_P{0}_{1}.png|sick_P{0}_{1}.png", ["normal", "sick"]),
        ("P{0}_{1}_normal.png|P{0}_{1}_no_normal.png", ["normal", "no_normal"]),
        ("P{0}_{1}_no_finding.png|P{0}_{1}_mass.png", ["no_finding", "mass"]),
    ],
)
def test_words_of_file_names(tmp_path, name, classes):
    for place, own in enumerate(name.split("|")):
        touch(tmp_path, *(own.format(n * 2 + place, i) for n in range(4) for i in (0, 1)))
    proposal = look(tmp_path)
    assert proposal.classes == classes
    assert any("8 patients of 16 images" in line for line in proposal.told)


def test_numbers_of_images_are_no_labels(tmp_path):
    touch(tmp_path, *(f"P{n}_{i}.png" for n in range(5) for i in (0, 1)))
    with pytest.raises(UserError, match="count the images of a patient, and are no labels"):
        look(tmp_path)


def test_years_are_no_patients_and_odd_names_cost_none_of_them():
    dated = [f"{label}/{year}-{n:03d}.png" for label in "ab" for year in (2019, 2020)
             for n in range(9)]  # fmt: skip
    assert patients.find_pattern(dated, ("a", "b")) is None
    paths = [f"a/P{n}_{i}.png" for n in range(6) for i in (0, 1)]
    found = patients.find_pattern([*paths, "a/x.png", "a/y.png"], ("a",))
    assert (found.patients, found.images) == (6, 12)
    assert "2 file names do not fit that pattern, such as a/x.png" in found.lines(False)[1]

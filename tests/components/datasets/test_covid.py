"""Sets of COVID-19: folders of classes, a hierarchy of findings, tables of blanks, two layouts."""

import shutil

import pytest

from tests.components.datasets.folders import DATA, HEADINGS, read, refusal, write_workbook
from tests.components.source.test_labelling import touch

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def counted(findings):
    """The findings that an image has, and how many others are absent."""
    return [name for name, value in findings.items() if value == 1], sum(
        value == 0 for value in findings.values()
    )


def write_radiography(folder):
    touch(folder, "README.md.txt", *(
        f"{name}/{kind}/{name}-{number}.png"
        for name in CLASSES for kind in ("images", "masks") for number in (1, 12)
    ))  # fmt: skip
    for name in CLASSES:
        own = name.upper() if name == "Normal" else name
        write_workbook(folder / f"{name}.metadata.xlsx", [
            HEADINGS,
            *([f"{own}-{number}", "PNG", "256*256", f"https://example.com/{own}{number}"]
              for number in (1, 12)),
        ])  # fmt: skip


def test_the_radiography_database(tmp_path):
    write_radiography(tmp_path / "archive" / "COVID-19_Radiography_Dataset")
    reading = read(tmp_path)
    assert "no official split" in reading.said[0]
    assert reading.images.task.names == ("Normal", "Lung_Opacity", "Viral Pneumonia", "COVID")
    site = "https://example.com/"
    assert reading.rows == {
        "COVID/images/COVID-1.png": ("COVID", None, {"site": f"{site}COVID1"}),
        "COVID/images/COVID-12.png": ("COVID", None, {"site": f"{site}COVID12"}),
        "Lung_Opacity/images/Lung_Opacity-1.png": (
            "Lung_Opacity", None, {"site": f"{site}Lung_Opacity1"}),
        "Lung_Opacity/images/Lung_Opacity-12.png": (
            "Lung_Opacity", None, {"site": f"{site}Lung_Opacity12"}),
        "Normal/images/Normal-1.png": ("Normal", None, {"site": f"{site}NORMAL1"}),
        "Normal/images/Normal-12.png": ("Normal", None, {"site": f"{site}NORMAL12"}),
        "Viral Pneumonia/images/Viral Pneumonia-1.png": (
            "Viral Pneumonia", None, {"site": f"{site}Viral Pneumonia1"}),
        "Viral Pneumonia/images/Viral Pneumonia-12.png": (
            "Viral Pneumonia", None, {"site": f"{site}Viral Pneumonia12"}),
    }  # fmt: skip
    assert reading.left_out == {"mask": 8, "other_kind": 5}


@pytest.mark.parametrize(("covid", "normal"), [("COVID-19", "NORMAL"), ("COVID", "Normal")])
def test_the_radiography_database_of_2020(tmp_path, covid, normal):
    names = {covid: "COVID", normal: "Normal", "Viral Pneumonia": "Viral Pneumonia"}
    files = {f"{n}/{n} ({i}).png": label for n, label in names.items() for i in (1, 11)}
    touch(tmp_path, *files)
    write_workbook(tmp_path / f"{covid}.metadata.xlsx", [HEADINGS, [f"{covid}(11)", "", "", "x"]])
    reading = read(tmp_path)
    assert reading.rows == {
        path: (label, None, {"site": "x"} if path.endswith(f"{covid} (11).png") else {})
        for path, label in files.items()
    }
    assert "no image is of Lung_Opacity: left out of the classes" in reading.notes


def write_cohen(folder, table="metadata.csv"):
    touch(folder, *(f"images/{name}" for name in (
        "harbour-1a.jpeg", "harbour-1b.png", "harbour-1c.png", "river-2.jpg", "river-3.png",
        "river-4.png", "river-5.png", "river-6.png", "river-7.png", "river-8.png", "river-9.png",
        "river-10.png", "slice-11.png", *(f"{letter}.png" for letter in "abcdefgh"),
    )), "volumes/whole-12.nii.gz")  # fmt: skip
    shutil.copy(DATA / "covid_chestxray" / table, folder / "metadata.csv")


def test_cohens_hierarchy(tmp_path):
    write_cohen(tmp_path / "covid-chestxray-dataset")
    for letter in "abcdefgh":
        (tmp_path / "covid-chestxray-dataset" / "images" / f"{letter}.png").unlink()
    reading = read(tmp_path)
    hospital = {"site": "Harbour Hospital, Northport"}
    told = {
        "harbour-1a.jpeg": (["Pneumonia", "Viral", "COVID-19"], {
            "patient": "301", "age": "44", "sex": "F", "view": "PA", **hospital}),
        "harbour-1b.png": (["Pneumonia", "Viral", "COVID-19"], {
            "patient": "301", "age": "44", "sex": "F", "view": "AP Supine", **hospital}),
        "river-10.png": None,
        "river-2.jpg": (["Pneumonia", "Viral", "SARS"], {
            "patient": "302", "age": "61", "sex": "M", "view": "AP Erect"}),
        "river-3.png": (["Pneumonia"], {"patient": "303", "view": "PA"}),
        "river-4.png": (["Pneumonia", "Bacterial"], {
            "patient": "304", "age": "7", "sex": "M", "view": "AP"}),
        "river-5.png": (["Pneumonia", "Fungal"], {
            "patient": "305", "age": "33", "sex": "F", "view": "PA"}),
        "river-6.png": (["Pneumonia"], {"patient": "306", "age": "52", "sex": "F", "view": "PA"}),
        "river-7.png": (["Tuberculosis"], {
            "patient": "307", "age": "29", "sex": "M", "view": "PA"}),
        "river-8.png": ([], {"patient": "308", "age": "38", "sex": "M", "view": "PA"}),
    }  # fmt: skip
    assert {path: (counted(v), s, m) for path, (v, s, m) in reading.rows.items()} == {
        f"images/{name}": ((known[0], 7 - len(known[0])), None, known[1])
        for name, known in told.items() if known
    }  # fmt: skip
    # A lateral; todo and Unknown; a slice of CT; a volume and the table.
    assert reading.left_out == {
        "other_view": 1, "dropped": 2, "not_kept": 1, "other_kind": 1,
    }  # fmt: skip
    assert "metadata.csv: rows of 2 images are left out by ingest.keep" in reading.notes


def test_cohens_earlier_words_mean_the_same_findings(tmp_path):
    write_cohen(tmp_path, "earlier.csv")
    reading = read(tmp_path)
    told = {path: counted(v)[0] for path, (v, *_) in reading.rows.items() if v}
    assert told == {
        "images/a.png": ["Pneumonia", "Viral", "COVID-19"],
        "images/b.png": ["Pneumonia", "Viral", "COVID-19"],
        "images/c.png": ["Pneumonia", "Viral", "SARS"],
        "images/d.png": ["Pneumonia", "Bacterial"],
        "images/e.png": ["Pneumonia", "Fungal"],
        "images/g.png": [],
    }
    assert reading.rows["images/b.png"][2] == {
        "patient": "2", "age": "51", "sex": "F", "view": "AP", "site": "Northport",
    }  # fmt: skip
    assert reading.left_out["dropped"] == 1  # ARDS
    assert "13 images have no row in the table, and 0 rows no image" in reading.noted


def test_of_cohens_findings_some_may_be_asked_for(tmp_path):
    write_cohen(tmp_path, "earlier.csv")
    config = {"findings": ["COVID-19", "Viral"]}
    reading = read(tmp_path, config=config)
    told = {path: v for path, (v, *_) in reading.rows.items() if v}
    assert told["images/a.png"] == {"COVID-19": 1, "Viral": 1}
    assert told["images/d.png"] == {"COVID-19": 0, "Viral": 0}


def test_cohens_table_with_another_column_is_refused(tmp_path):
    write_cohen(tmp_path)
    table = tmp_path / "metadata.csv"
    table.write_text(table.read_text().replace(",finding,", ",diagnosis,"))
    told = refusal(tmp_path, "covid_chestxray")
    assert "metadata.csv lacks the columns finding; it has: patientid, offset" in told
    table.write_text(table.read_text().replace(",diagnosis,", ",finding,").replace(",age,", ",a,"))
    assert "metadata.csv lacks the columns age; it has" in refusal(tmp_path, "covid_chestxray")


def test_cohens_table_without_images_and_images_without_it(tmp_path):
    touch(tmp_path, "images/a.png")
    assert "holds no covid-chestxray-dataset" in refusal(tmp_path, "covid_chestxray")
    shutil.copy(DATA / "covid_chestxray" / "metadata.csv", tmp_path)
    told = refusal(tmp_path, "covid_chestxray")
    assert "no path in it is a file below" in told
    assert "images at images/*" in told


COVIDX_IMAGES = {
    "train": ["flu-day0.jpeg", "flu-day5.jpeg", "COVID-19(21).png", "a1b2.png", "c3d4.png"],
    "test": ["e5f6.png", "MIDRC-RICORD-1C-700001-000009-00001-0.png", "e7f8.png"],
}
# Of each image: the patient, the class of A, that of B, the source.
COVIDX = {
    "train/flu-day0.jpeg": ("7", "pneumonia", "negative", "cohen"),
    "train/flu-day5.jpeg": ("7", "pneumonia", "negative", "cohen"),
    "train/COVID-19(21).png": ("COVID-19(21)", "COVID-19", "positive", "sirm"),
    "train/a1b2.png": ("a1b2", "normal", "negative", "rsna"),
    "train/c3d4.png": ("c3d4", "normal", "negative", "rsna"),
    "test/e5f6.png": ("e5f6", "normal", "negative", "rsna"),
    "test/MIDRC-RICORD-1C-700001-000009-00001-0.png": (
        "700001-000009", "COVID-19", "positive", "ricord"),
    "test/e7f8.png": ("e7f8", "pneumonia", "negative", "rsna"),
}  # fmt: skip


def write_covidx(folder, letters="AB", short=False):
    touch(folder, *(f"{part}/{name}" for part, names in COVIDX_IMAGES.items() for name in names))
    for part in ("train", "test"):
        for letter in letters:
            text = (DATA / "covidx" / f"{part}_COVIDx9{letter}.txt").read_text()
            (folder / f"{part}{'' if short else f'_COVIDx9{letter}'}.txt").write_text(text)


@pytest.mark.parametrize(("name", "letter", "kind"), [("covidx_a", "A", 1), ("covidx_b", "B", 2)])
@pytest.mark.parametrize("short", [True, False])
def test_covidx_by_the_classes_of_its_tables(tmp_path, name, letter, kind, short):
    write_covidx(tmp_path / "data", letter, short)
    reading = read(tmp_path)
    assert f"using ingest.dataset: {name}" in reading.said[0]
    # By the digests of these few patients, one of train is drawn for eval.
    drawn = {"train/c3d4.png": "eval"}
    assert reading.rows == {
        path: (
            known[kind],
            drawn.get(path, path.partition("/")[0]),
            {"patient": known[0], "site": known[3]},
        )
        for path, known in COVIDX.items()
    }


def test_covidx_of_both_kinds_asks_which(tmp_path):
    write_covidx(tmp_path)
    for name in ("covidx_a", "covidx_b"):
        reading = read(tmp_path, name)
        assert len(reading.images.rows) == 8
    said = refusal(tmp_path, None)
    assert "ingest.dataset: covidx_a" in said
    assert "ingest.dataset: covidx_b" in said


def test_earlier_tables_of_covidx_name_no_source(tmp_path):
    write_covidx(tmp_path, "A")
    for table in tmp_path.glob("*.txt"):
        lines = [line.rsplit(" ", 1)[0] for line in table.read_text().splitlines()]
        table.write_text("\n".join([*lines, lines[0]]))
    reading = read(tmp_path)
    assert {path: known[2] for path, known in reading.rows.items()} == {
        path: {"patient": known[0]} for path, known in COVIDX.items()
    }
    assert "6 rows end before the columns that are read" in reading.noted
    assert "2 rows repeat another row and count once" in reading.noted


def test_covidx_7a_is_refused_by_its_lines(tmp_path):
    write_covidx(tmp_path, "A")
    with (tmp_path / "train_COVIDx9A.txt").open("a") as table:
        table.write("COVID 1 COVID(1).png COVID-19 sirm\n")
    told = refusal(tmp_path, "covidx_a")
    assert "1 rows have more cells than the 4 headings: line 6" in told


def test_a_third_table_makes_it_covidx_cxr4(tmp_path):
    write_covidx(tmp_path, "B", short=True)
    touch(tmp_path, "val/v1.png", "val/v2.png")
    (tmp_path / "val.txt").write_text("V1 v1.png positive bimcv\nV2 v2.png negative bimcv\n")
    reading = read(tmp_path)
    assert "using ingest.dataset: covidx_cxr4" in reading.said[0]
    told = reading.rows
    assert told["val/v1.png"] == ("positive", "eval", {"patient": "V1", "site": "bimcv"})
    assert told["val/v2.png"] == ("negative", "eval", {"patient": "V2", "site": "bimcv"})
    assert {path: known[1] for path, known in told.items() if not path.startswith("val")} == {
        path: path.partition("/")[0] for path in COVIDX
    }
    assert "has val.txt" in refusal(tmp_path, "covidx_b")


def test_covidx_without_a_table_or_with_another_one(tmp_path):
    write_covidx(tmp_path, "B")
    (tmp_path / "test_COVIDx9B.txt").unlink()
    assert "lacks tes*[!A].txt" in refusal(tmp_path, "covidx_b")
    (tmp_path / "train_COVIDx9B.txt").write_text("patient,file,class,source\n")
    told = refusal(tmp_path, "covidx_b")
    assert "the first line of train_COVIDx9B.txt is none of such a table" in told
    assert "12 chest.png positive cohen" in told


LUNGS = "Lung Segmentation Data"
QU_EX = ("COVID-19", "Non-COVID", "Normal")


def write_qu_ex(folder, lungs=f"{LUNGS}/{LUNGS}"):
    parts = [f"{part}/{name}" for part in ("Train", "Val", "Test") for name in QU_EX]
    infection = "Infection Segmentation Data/Infection Segmentation Data"
    touch(folder, *(
        f"{place}/{part}/{kind}/{part.replace('/', '_').lower()}.png"
        for part in parts for place, kind in (
            (lungs, "images"), (lungs, "lung masks"), (infection, "images"),
            (infection, "lung masks"), (infection, "infection masks"),
        )
    ))  # fmt: skip


@pytest.mark.parametrize("lungs", [f"{LUNGS}/{LUNGS}", LUNGS])
def test_qu_ex_without_what_overlaps(tmp_path, lungs):
    write_qu_ex(tmp_path / "a" / "b", lungs)
    reading = read(tmp_path)
    assert reading.said[0].startswith(
        "this is COVID-QU-Ex in a/b: 3 classes (Normal, Non-COVID, COVID-19)"
    )
    assert reading.rows == {
        f"{lungs}/{part}/{name}/images/{part}_{name}.png".replace(
            f"{part}_{name}", f"{part}_{name}".lower()): (name, split, {})
        for part, split in (("Train", "train"), ("Val", "eval"), ("Test", "test"))
        for name in QU_EX
    }  # fmt: skip
    assert reading.left_out == {"excluded": 27, "mask": 9}


def test_qu_ex_by_its_inner_folder(tmp_path):
    write_qu_ex(tmp_path)
    reading = read(tmp_path / LUNGS / LUNGS)
    assert len(reading.images.rows) == 9
    infection = tmp_path / "Infection Segmentation Data" / "Infection Segmentation Data"
    reading = read(infection)
    assert (reading.dataset, reading.said) == ("", [])  # as any folder

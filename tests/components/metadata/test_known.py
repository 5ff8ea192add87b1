"""Ages, sexes, views and patients: one table of texts for all who write them."""

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.metadata import ages, sexes
from tfxray.components.metadata.known import Known, join_sources, read_known, read_tags

# By PS3.5 (AS: nnnD, nnnW, nnnM, nnnY) and by what public sets and people write.
AGES = {
    "62": 62, "058": 58, "058Y": 58, "058y": 58, " 58 Y": 58, "58 years": 58, "58 yrs.": 58,
    "45yrs": 45, "58-year-old": 58, "58 years of age": 58, "24y/o": 24, "58 y.o.": 58,
    "45.5": 45.5, "45,5": 45.5, "45.500000": 45.5, "0": 0, "130": 130,
    "018M": 1.5, "6 months": 0.5, "16month": 16 / 12, "1500M": 125,
    "026W": 26 * 7 / 365.25, "3W": 3 * 7 / 365.25, "000D": 0, "006D": 6 / 365.25,
    "64days": 64 / 365.25, "1 year 6 months": 1.5, "2y, 3m": 2.25,
    "58 años": 58, "58 anos": 58, "58 ans": 58, "58 Jahre alt": 58, "58 anni": 58,
    "6 meses": 0.5, "6 mois": 0.5, "6 Monate": 0.5, "6 mesi": 0.5, "3 Wochen": 21 / 365.25,
    "58 tuổi": 58, "6 tháng": 0.5, "10 ngày": 10 / 365.25, "58岁": 58, "2岁3个月": 2.25,
    "58歳": 58, "3ヶ月": 0.25, "58세": 58, "58 лет": 58, "10 дней": 10 / 365.25, "30 yıl": 30,
}  # fmt: skip
NOT_AGES = [
    "000Y", "0Y", "0 years", "-5", "-1", "- 5", "131", "155", "414", "999Y", "1958", "19580302",
    "1958-03-02", "03/05/1961", "02.03.1958", "1.5.1961", "03.05", "12-15", "55-60Y", "90+", ">89",
    "85 or more", "~60", "1e2", "5M2Y", "1y 2y", "58 parrots", "M58", "old", "['058Y', '060Y']",
]  # fmt: skip
SEXES = {
    "F": "F", "f": "F", " Female ": "F", "femal": "F", "woman": "F", "Mujer": "F", "Femenino": "F",
    "mulher": "F", "Femme": "F", "féminin": "F", "weiblich": "F", "Mädchen": "F", "donna": "F",
    "Nữ": "F", "女": "F", "女性": "F", "여성": "F", "женский": "F",
    "M": "M", "male": "M", "Man": "M", "Hombre": "M", "Varón": "M", "masculino": "M", "Homme": "M",
    "Mann": "M", "männlich": "M", "uomo": "M", "Nam": "M", "男": "M", "男性": "M", "남": "M",
    "O": "", "Other": "", "divers": "",
}  # fmt: skip
NOT_SEXES = ["W", "H", "0", "1", "Mx", "Fa", "Mi", "Montag", "MF", "M/F", "1958", "Frauenarzt"]
VIEWS = {
    "PA": "PA", "pa": "PA", "POSTERO_ANTERIOR": "PA", "POSTEROANTERIOR": "PA", "P.A.": "PA",
    "postero-anterior": "PA", "Chest PA": "PA", "后前位": "PA",
    "AP": "AP", "AP Supine": "AP", "AP semi erect": "AP", "AP Erect": "AP", "AP_horizontal": "AP",
    "ANTERO_POSTERIOR": "AP", "antero-posterior": "AP", "Portable AP": "AP",
    "Thorax ap liegend": "AP",
    "LL": "LL", "RL": "LL", "L": "LL", "LAT": "LL", "Lateral": "LL", "left lateral": "LL",
    "Lateral L": "LL", "XTABLE LATERAL": "LL", "latero-lateral": "LL", "侧位": "LL",
}  # fmt: skip
NOT_VIEWS = [
    "frontal", "AP/PA", "PA and lateral", "PA LLD", "LLD", "RLO", "lateral decubitus", "Axial",
    "Coronal", "SWIMMERS", "LORDOTIC", "COSTAL", "EXCLUDE", "R", "DOE JANE", "PAM", "7",
]  # fmt: skip
PATIENTS = {"P0001": "P0001", " 4711 ": "4711", "0": "0", "Müller 7": "Müller 7"}
NOT_PATIENTS = ["ANONYMOUS", "Anonymized", "anon", "De-Identified", "unknown", "nan", "None", "***"]
NOTHING = ["", " ", "\0", "Missing", "Unknown", "Masked", "nan", "None", "N/A", "NULL", "UNK", "-",
           "unbekannt", "desconocido", "不明", "n.a.", "n.a"]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kind, text, value)
        for kind, table in (
            ("age", AGES), ("sex", SEXES), ("view", VIEWS), ("patient", PATIENTS),
        )
        for text, value in table.items()
    ],
)  # fmt: skip
def test_it_is_read_for_what_it_says(kind, text, value):
    known = read_known({kind: text})
    assert getattr(known, kind) == (pytest.approx(value) if kind == "age" else value)
    assert known.not_understood == ()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kind, text)
        for kind, texts in (
            ("age", NOT_AGES), ("sex", NOT_SEXES), ("view", NOT_VIEWS), ("patient", NOT_PATIENTS),
        )
        for text in texts
    ],
)  # fmt: skip
def test_what_is_not_certain_is_unknown_and_noted(kind, text):
    assert read_known({kind: text}) == Known(not_understood=(kind,))


@pytest.mark.parametrize("text", NOTHING)
def test_a_word_for_nothing_is_nothing(text):
    assert read_known({"age": text, "sex": text, "view": text, "site": text}) == Known()


def test_no_word_means_two_things():
    for words in (ages._UNITS, sexes._WORDS):
        parts = [
            word.strip() for text in words.values() for word in text.replace("\n", ",").split(",")
        ]
        named = [word for word in parts if word]
        assert len(named) == len(set(named))


def test_tags_hand_on_what_was_not_understood_and_a_manifest_stands_before_them():
    tags = {"PatientID": "ANONYMOUS", "PatientAge": "62", "PatientSex": "?", "ViewPosition": "DOE"}
    texts = read_tags(tags)
    assert texts == {"age": "62.0000", "not_understood": "patient view"}
    assert read_known(texts).not_understood == ("patient", "view")
    known = read_known({**texts, "view": "PA"})
    assert (known.age, known.view, known.not_understood) == (62, "PA", ("patient",))


def test_a_word_for_nothing_hides_no_tag():
    tags = read_tags(
        {"PatientID": "p1", "PatientAge": "062Y", "PatientSex": "F", "ViewPosition": "DOE"}
    )
    nothing = {"patient": "n/a", "age": "nan", "sex": "Unknown", "view": "-"}
    joined = join_sources(tags, nothing)
    assert read_known(joined) == Known("p1", 62, "F", not_understood=("view",))
    unclear = join_sources({"not_understood": "patient"}, nothing)
    assert read_known(unclear).not_understood == ("patient",)
    told = {"patient": "p2", "age": "61", "sex": "M", "view": "PA"}
    assert read_known(join_sources(tags, told)) == Known("p2", 61, "M", "PA")
    assert read_known(join_sources({}, nothing)) == Known(not_understood=("patient",))


@pytest.mark.parametrize("texts", [["H", "M"], ["h", "m", ""], ["V", "M", "varón"]])
def test_m_beside_another_letter_for_men_is_refused(texts):
    with pytest.raises(UserError, match=r"^a/folder: .*M is a woman"):
        sexes.require_clear("a/folder", texts)


@pytest.mark.parametrize("texts", [["F", "M"], ["H", "F"], ["Hombre", "Mujer"], []])
def test_letters_that_are_clear_pass(texts):
    sexes.require_clear("a/folder", texts)

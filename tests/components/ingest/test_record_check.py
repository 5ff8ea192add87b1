"""Records of others: what breaks the data contract is seen before any node relies on it."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.dicoms import dicom
from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.guard.rejects import Limits, Rejected
from tfxray.components.ingest import record_check, record_labels, record_scan
from tfxray.components.ingest.record_scan import ContractBroken
from tfxray.components.pixels import image
from tfxray.components.source import tfrecords

CLASSES = ("NORMAL", "PNEUMONIA")
GREY = np.tile(np.arange(40, dtype=np.uint8), (40, 1))


def encoded(kind, mode="L", **options):
    buffer = io.BytesIO()
    Image.fromarray(GREY).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def turned():
    tags = Image.new("L", (1, 1)).getexif()
    tags[0x0112] = 3
    return encoded("JPEG", exif=tags)


def flipped():
    """A PNG with a wrong checksum of its pixels, which Pillow leaves to others to mind."""
    buffer = io.BytesIO()
    Image.fromarray(GREY // 2 + 9).save(buffer, "PNG")  # other pixels: no duplicate
    content = bytearray(buffer.getvalue())
    content[content.index(b"IEND") - 5] ^= 1
    return bytes(content)


PNG, JPEG = encoded("PNG"), encoded("JPEG")
FLIPPED = flipped()
KINDS = {bytes: "bytes_list", int: "int64_list", float: "float_list"}


def example(*, label=0, **features):
    """A record by the contract; a value may be a list of them, and None leaves the feature out."""
    message = tf.train.Example()
    own = {contract.IMAGE: PNG, contract.LABEL: label, contract.TEXT: CLASSES[label].encode()}
    for name, value in {**own, **features}.items():
        values = value if isinstance(value, list) else [value]
        if value is None:
            continue
        message.features.feature[name].Clear()
        for one in values:
            getattr(message.features.feature[name], KINDS[type(one)]).value.append(one)
    return message


def record(**features):
    return example(**features).SerializeToString()


FULL = {
    contract.FORMAT: b"png", contract.FILENAME: b"caf\xe9.png", contract.SHA256: b"ab" * 32,
    contract.PHASH: b"0f" * 32, contract.HEIGHT: 40, contract.WIDTH: 40, contract.MEAN: 1.0,
    contract.STD: 2.0, contract.SHARPNESS: 3.0, contract.PATIENT: b"p", contract.AGE: 45.5,
    contract.SEX: b"F", contract.VIEW: b"PA", contract.SITE: "Universitätsklinik".encode(),
    "image/colorspace": b"Grey", "image/channels": [1, 2, 3], "\N{SNOWMAN}": [0.5],
}  # fmt: skip


def check(folder, *records, **options):
    with tf.io.TFRecordWriter(str(folder / "a.tfrecord")) as writer:
        for one in records:
            writer.write(one)
    return record_scan.check_records(tfrecords.find_layout(folder), Task(CLASSES), **options)


def test_records_that_keep_the_contract_pass(tmp_path):
    scan = check(tmp_path, record(**FULL), record(label=1, **{**FULL, contract.IMAGE: JPEG}))
    assert (scan.examples, scan.group) == (2, contract.PATIENT)
    assert scan.labels == {"NORMAL": 1, "PNEUMONIA": 1}


def test_what_patients_are_split_by_falls_back_and_is_told(tmp_path):
    assert check(tmp_path, record(), record(label=1)).group is None
    named = {contract.FILENAME: b"x.png"}
    assert check(tmp_path, record(**named), record(label=1, **named)).group == contract.FILENAME


def test_a_class_without_records_is_named(tmp_path):
    with pytest.raises(UserError, match="needs records of every class"):
        check(tmp_path, record(), record())


IMAGES = {
    "cut PNG": PNG[: len(PNG) // 2],
    "cut JPEG": JPEG[: len(JPEG) // 2],
    "garbage": b"\x00\x01garbage" * 9,
    "no pixels behind the head": PNG[:40],
    "a wrong checksum": FLIPPED,
    "DICOM": dicom(GREY),
    "BMP": encoded("BMP"),
    "another way up": turned(),
    "four colours": encoded("JPEG", "CMYK"),
    "a text": b"Dear colleague",
}
BROKEN = {
    **{f"image: {name}": {contract.IMAGE: content} for name, content in IMAGES.items()},
    "no image": {contract.IMAGE: None},
    "image empty": {contract.IMAGE: b""},
    "image doubled": {contract.IMAGE: [PNG, PNG]},
    "image as numbers": {contract.IMAGE: [1, 2, 3]},
    "no label": {contract.LABEL: None},
    "label negative": {contract.LABEL: -1, contract.TEXT: None},
    "label too high": {contract.LABEL: 2, contract.TEXT: None},
    "label doubled": {contract.LABEL: [0, 0]},
    "label one-hot": {contract.LABEL: [1, 0], contract.TEXT: None},
    "label one-hot of floats": {contract.LABEL: [1.0, 0.0], contract.TEXT: None},
    "label multi-hot": {contract.LABEL: [0, 1, 1], contract.TEXT: None},
    "label list of names": {contract.LABEL: [b"NORMAL", b"PNEUMONIA"], contract.TEXT: None},
    "label vector in bytes": {contract.LABEL: b"\x00\x01", contract.TEXT: None},
    "label list in a text": {contract.LABEL: b"[1, 0]", contract.TEXT: None},
    "text list of names": {contract.TEXT: [b"NORMAL", b"PNEUMONIA"], contract.LABEL: None},
    "label as float": {contract.LABEL: 0.0},
    "label as text": {contract.LABEL: b"NORMAL"},
    "another label than text": {contract.TEXT: b"PNEUMONIA"},
    "text of no class": {contract.TEXT: b"HEALTHY"},
    "patient empty": {contract.PATIENT: b""},
    "patient doubled": {contract.PATIENT: [b"p", b"q"]},
    "patient as number": {contract.PATIENT: 7},
    "patient not UTF-8": {contract.PATIENT: b"M\xfcller"},
    "patient unknown": {contract.PATIENT: b"unknown"},
    "patient of an anonymiser": {contract.PATIENT: b"Anonymous^Patient"},
    "site unknown": {contract.SITE: b"N/A"},
    "site not UTF-8": {contract.SITE: b"Universit\xe4tsklinik"},
    "site without values": {contract.SITE: []},
    "age not a number": {contract.AGE: math.nan},
    "age infinite": {contract.AGE: math.inf},
    "age negative": {contract.AGE: -5.0},
    "age of nobody": {contract.AGE: 1e9},
    "age as int": {contract.AGE: 45},
    "age as text": {contract.AGE: b"045Y"},
    "mean not a number": {contract.MEAN: math.nan},
    "sharpness infinite": {contract.SHARPNESS: -math.inf},
    "mean of three colours": {contract.MEAN: [1.0, 2.0, 3.0]},
    "height negative": {contract.HEIGHT: -40},
    "hash of other letters": {contract.PHASH: b"zz" * 32},
    "hash of another length": {contract.PHASH: b"0f"},
    "filename as number": {contract.FILENAME: 3},
    "feature of another kind": {"image/channels": 1.5},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_record_that_breaks_the_contract_is_named(tmp_path, what):
    good = [record(**FULL), record(label=1, **FULL)]
    bad = record(**{**FULL, **BROKEN[what]})
    with pytest.raises(ContractBroken) as caught:
        check(tmp_path, *good, bad, *good)
    message = str(caught.value)
    assert f"{tmp_path}/a.tfrecord, record 2: " in message
    assert what.startswith("image: ") or next(iter(BROKEN[what])) in message
    assert "Müller" not in message.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [record(**{contract.LABEL: None, contract.TEXT: None})],
            "record 0: has no 'image/class/label'; it has image/encoded",
        ),
        ([record(), record(**{contract.IMAGE: None})], "record 1: has no 'image/encoded'"),
        (
            [record(**{contract.LABEL: 2, contract.TEXT: None})],
            "allowed: 0 to 1, for [NORMAL, PNEUMONIA]",
        ),
        ([record(**{contract.IMAGE: b""})], "image/encoded is empty"),
        ([b"\xff\xff"], "no tf.train.Example"),
        ([b""], "has no 'image/encoded'; it has nothing"),
        ([record(), record(**{contract.PATIENT: b"p"})], "1 of 2 records have no 'patient/id'"),
        ([record(**{f"f{i}": 1}) for i in range(1200)], "more than 1000 features"),
    ],
)
def test_the_message_says_what_where_and_what_is_allowed(tmp_path, content, message):
    with pytest.raises(ContractBroken) as caught:
        check(tmp_path, *content)
    assert message in str(caught.value)


def twice():
    """The same feature twice: the first parser takes one of the two, the second the other."""
    return record() + record(**{contract.LABEL: 1, contract.TEXT: b"PNEUMONIA"})


def unknown_field():
    """A field of a kind (group) that TensorFlow's parser of examples refuses."""
    return record() + bytes([15 << 3 | 3, 15 << 3 | 4])


@pytest.mark.parametrize("make", [twice, unknown_field])
def test_a_record_that_parsers_read_differently_is_not_taken_as_it_is(tmp_path, make):
    with pytest.raises(ContractBroken, match=r"record 1: holds more than a tf\.train\.Example"):
        check(tmp_path, record(label=1), make())


def test_a_large_image_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(record_check.decoder, "is_decodable", lambda _: pytest.fail("decoded"))
    with pytest.raises(ContractBroken, match="record 0: the image cannot be used: too_large"):
        check(tmp_path, record(), limits=Limits(pixels=1024))


def test_an_image_that_pillow_reads_and_tensorflow_refuses_is_seen():
    assert image.read_image(FLIPPED).height == 40
    with pytest.raises(Rejected, match="undecodable"):
        record_check.require_decodable(FLIPPED)


def test_values_of_others_are_read_under_the_contracts_names():
    features = example(
        who=7, sex=b"F", old=[45], **{contract.MEAN: [1.0, 2.0, 3.0], contract.SITE: b""}
    ).features.feature
    mapping = {contract.PATIENT: "who", contract.SEX: "sex", contract.AGE: "old"}
    values = record_check.read_values(features, mapping)
    assert (values[contract.PATIENT], values[contract.SEX], values[contract.AGE]) == (7, "F", 45)
    assert contract.SITE not in values  # empty: nobody said
    with pytest.raises(Rejected, match="malformed: twice holds 2 values, not one"):
        record_check.read_values(example(twice=[1, 2]).features.feature, {contract.AGE: "twice"})
    with pytest.raises(Rejected, match="malformed: sex is float, not bytes"):
        record_check.read_values(example(sex=0.5).features.feature, {contract.SEX: "sex"})


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("NORMAL", 0, "NORMAL"),
        ("NORMAL", 1, None),  # they may count from one
        ("NORMAL", None, "NORMAL"),
        ("healthy", 0, None),
        (None, 1, "PNEUMONIA"),
        (None, 2, None),
        (None, -1, None),
        (None, "PNEUMONIA", "PNEUMONIA"),
        (None, None, None),
    ],
)
def test_a_class_is_told_by_text_or_number_that_agree(text, number, expected):
    given = {contract.TEXT: text, contract.LABEL: number}
    values = {name: value for name, value in given.items() if value is not None}
    if expected is None:
        with pytest.raises(Rejected, match=r"no_label|unknown_label"):
            record_labels.class_of(values, CLASSES)
    else:
        assert record_labels.class_of(values, CLASSES) == expected


def test_of_number_and_text_the_one_that_is_mapped_counts_alone():
    features = example(label=1, why=b"NORMAL").features.feature
    values = record_check.read_values(features, {contract.TEXT: "why"})
    assert record_labels.class_of(values, CLASSES) == "NORMAL"
    both = {contract.TEXT: "why", contract.LABEL: contract.LABEL}
    with pytest.raises(Rejected, match=r"name different classes.*ingest\.features"):
        record_labels.class_of(record_check.read_values(features, both), CLASSES)


@pytest.mark.parametrize("number", ["0", "1"])
def test_a_number_that_is_written_as_a_text_is_told_so(number):
    """Not: `image/class/label is 1; allowed: 0 to 1`."""
    with pytest.raises(Rejected, match="is the text"):
        record_labels.class_of({contract.LABEL: number}, CLASSES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (contract.SEX, b"Male"), (contract.SEX, b"f"), (contract.VIEW, b"AP Supine"),
        (contract.VIEW, b"Lateral"), (contract.FORMAT, b"jpg"),
    ],
)  # fmt: skip
def test_what_an_ingest_would_mend_is_not_taken_as_it_is(tmp_path, name, value):
    """The schema knows F, M, PA, AP, LL, jpeg and png: any other value ends the run later."""
    with pytest.raises(ContractBroken, match=f"record 0: {name}"):
        check(tmp_path, record(**{name: value}), record(label=1))

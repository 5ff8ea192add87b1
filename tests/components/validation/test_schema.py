"""The curated schema: what it holds, how inferred ones differ from it, how it is relaxed."""

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_data_validation.statistics import stats_impl

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.review.page import write_page
from tfxray.components.validation import schema
from tfxray.pipeline.config.data import DRIFT

CLASSES = ["NORMAL", "PNEUMONIA"]
LABELS = {contract.LABEL: [0, 1], contract.TEXT: [b"NORMAL", b"PNEUMONIA"]}
KEPT = {
    contract.FORMAT: [b"png"],
    contract.FILENAME: [b"a.png", b"b.png"],
    contract.VIEW: [b"PA", b"AP"],
}


def stats(**columns):
    """Statistics of 20 examples whose columns repeat the given values."""
    columns = {**KEPT, **LABELS, **{key.replace("__", "/"): v for key, v in columns.items()}}
    columns = {name: values for name, values in columns.items() if values}
    arrays = [
        pa.array([[values[i % len(values)]] for i in range(20)]) for values in columns.values()
    ]
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    return stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions())


@pytest.fixture
def curated():
    return schema.read_schema(schema.DEFAULT)


def broken(run_schema, statistics, **options):
    return set(tfdv.validate_statistics(statistics, run_schema, **options).anomaly_info)


def comparator(message):
    return message.infinity_norm.threshold or message.jensen_shannon_divergence.threshold or None


def test_labels_are_demanded_for_training_and_not_for_serving(curated):
    run = schema.resolve_schema(curated, Task(CLASSES))
    unlabelled_stats = stats(image__class__label=None, image__class__text=None)
    assert broken(run, unlabelled_stats, environment="SERVING") == set()
    assert broken(run, unlabelled_stats, environment="TRAINING") == {contract.LABEL}
    assert broken(run, unlabelled_stats) == {contract.LABEL}
    assert broken(run, stats(), environment="TRAINING") == set()
    # No skew comparator asks served data for labels.
    anomalies = tfdv.validate_statistics(stats(), run, serving_statistics=unlabelled_stats)
    assert dict(anomalies.anomaly_info) == {}


def test_the_comparators_of_the_file_are_the_defaults_of_the_config(curated):
    drift = {f.name: v for f in curated.feature if (v := comparator(f.drift_comparator))}
    skew = {f.name: v for f in curated.feature if (v := comparator(f.skew_comparator))}
    assert drift == DRIFT
    assert skew == {name: value for name, value in DRIFT.items() if name != contract.TEXT}


def test_differences_are_told_aspect_by_aspect(curated):
    statistics = stats(study__view=[b"PA", b"\x1b[2J"], image__height=[b"tall"], new=[1.0])
    differences = schema.find_differences(
        schema.resolve_schema(curated, Task(CLASSES)), tfdv.infer_schema(statistics, False)
    )
    by_aspect = {(d.feature, d.aspect): (d.curated, d.inferred) for d in differences}
    assert by_aspect["study/view", "values"] == ("also AP, LL", "also \\x1b[2J")
    assert by_aspect["study/view", "presence"] == ("optional", "in every example")
    assert by_aspect["image/height", "type"] == ("INT", "BYTES")
    assert by_aspect["image/height", "range"] == ("32 to 30000", "any")
    assert by_aspect["patient/age", "feature"] == ("known", "not in the data")
    assert by_aspect["new", "feature"] == ("unknown", "in the data")
    assert not [key for key in by_aspect if key[0] in (contract.IMAGE, contract.LABEL)]
    assert (contract.TEXT, "values") not in by_aspect
    assert schema.find_differences(curated, curated) == []


def test_a_relaxed_schema_accepts_the_data_and_keeps_the_rest(curated):
    splits = [stats(study__view=[b"XX"]), stats(image__mean=[300.0], study__view=[b"YY"])]
    relaxed_schema = schema.relax_schema(curated, splits)
    run = schema.resolve_schema(relaxed_schema, Task(CLASSES))
    assert schema.find_anomalies(schema.resolve_schema(curated, Task(CLASSES)), splits) != {}
    assert schema.find_anomalies(run, splits) == {}
    assert set(tfdv.get_domain(relaxed_schema, contract.VIEW).value) == {
        "PA",
        "AP",
        "LL",
        "XX",
        "YY",
    }
    assert tfdv.get_feature(relaxed_schema, contract.MEAN).float_domain.max == 300
    assert relaxed_schema.default_environment == ["TRAINING", "SERVING"]
    assert relaxed_schema.tensor_representation_group == curated.tensor_representation_group
    for before, after in zip(curated.feature, relaxed_schema.feature, strict=True):
        assert after.drift_comparator == before.drift_comparator
        assert after.skew_comparator == before.skew_comparator
        assert after.not_in_environment == before.not_in_environment
    assert schema.relax_schema(curated, [stats()]) == curated


def test_an_empty_split_relaxes_nothing(curated):
    empty = stats_impl.generate_statistics_in_memory(
        pa.RecordBatch.from_arrays([], []), tfdv.StatsOptions()
    )
    assert schema.relax_schema(curated, [stats(), empty]) == curated


@pytest.mark.parametrize("had", [None, "own", "shared"])
def test_classes_are_not_learnt_from_the_data(curated, had):
    """They are the config's: other ones stay anomalies, whatever the schema says of labels."""
    text = tfdv.get_feature(curated, contract.TEXT)
    if had == "own":
        text.string_domain.value.append("OTHER")
    elif had == "shared":
        curated.string_domain.add(name="classes", value=["OTHER"])
        text.domain = "classes"
    statistics = [stats(image__class__text=[b"NORMAL", b"strange"])]
    assert schema.relax_schema(curated, statistics) == curated
    anomalies = schema.find_anomalies(schema.resolve_schema(curated, Task(CLASSES)), statistics)
    assert list(anomalies) == [contract.TEXT]
    del curated.feature[:]
    assert "NORMAL" not in text_format.MessageToString(schema.relax_schema(curated, [stats()]))


def test_what_is_no_schema_is_said(tmp_path):
    for content, message in ((b"feature {", "is no schema"), (b"\xff\xfe", "not UTF-8")):
        path = tmp_path / "odd.pbtxt"
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            schema.read_schema(path)
    with pytest.raises(UserError, match="cannot be read"):
        schema.read_schema(tmp_path / "none.pbtxt")


def test_the_page_shows_the_differences_and_names_stay_text(curated, tmp_path):
    hostile = "<script>alert(1)</script>"
    inferred = tfdv.infer_schema(stats(study__view=[hostile.encode()]), False)
    uris = {}
    for node, content in {"CuratedSchema": curated, "SchemaGen": inferred}.items():
        uris[f"{node}.schema"] = str(tmp_path / node)
        tfdv.write_schema_text(content, str(_made(tmp_path / node) / "schema.pbtxt"))
    summary = {"status": "data_rejected", "run_id": "1", "threshold": 0.9, "seconds": {}}
    write_page(tmp_path / "page.html", {**summary, "examples": {}}, "", uris)
    page = (tmp_path / "page.html").read_text()
    assert hostile not in page
    assert "also &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "tfxray schema --out DIR --update" in page


def _made(folder):
    folder.mkdir()
    return folder


def test_records_of_others_need_what_the_data_contract_says(curated):
    """An image and its label alone: docs/reference/data_contract.md."""
    run = schema.resolve_schema(curated, Task(CLASSES))
    nothing_else = stats(image__format=None, image__filename=None, study__view=None)
    assert broken(run, nothing_else, environment="TRAINING") == set()

"""The commands where data, results, weights and models lie on a real S3 server."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import quick, s3_faults, seaweed
from tests.conftest import last_line, set_s3
from tests.scorer import export
from tfxray.components.common import filesystem
from tfxray.components.object_store import s3


def put(folder, url):
    """Copies a folder to a store."""
    names = filesystem.list_names(str(folder))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: _put_file(folder / name, f"{url}/{name}"), names))
    return url


def _put_file(path, url):
    filesystem.write_file(url, path.read_bytes())


def read_json(url):
    with filesystem.open_file(url) as file:
        return json.loads(file.read())


@pytest.fixture
def images(bucket, drawn):
    return put(drawn, f"{bucket}/in")


def test_images_become_records_and_a_model_without_a_local_folder_of_data(
    bucket, images, tfxray, quick_config, tmp_path
):
    done = tfxray("ingest", images, "--out", f"{bucket}/records")
    assert done.code == 0, done.err
    names = filesystem.list_names(f"{bucket}/records")
    assert names == ["data-00000-of-00001.tfrecord", "ingest.json", "rejects.csv"]
    assert read_json(f"{bucket}/records/ingest.json")["written"] == {"all": 300}
    # No part of it is left elsewhere.
    folders = {name.split("/")[0] for name in filesystem.list_names(bucket)}
    assert folders == {"in", "records"}

    weights = f"{bucket}/weights/drawn.weights.h5"
    _put_file(quick_config.parent / quick.WEIGHTS, weights)
    run = (
        "run", "--config", quick_config, "--data", f"{bucket}/records",
        "--out", tmp_path / "out", "--set", f"model.weights={weights}",
        "--set", f"serving.folder={bucket}/served", "--json",
    )  # fmt: skip
    done = tfxray(*run)
    assert done.code == 0, done.err
    summary = last_line(done)
    assert summary["pushed_model"].startswith(f"{bucket}/served/")
    assert sum(summary["examples"][split] for split in ("train", "eval", "test")) == 300
    # What is served is compared with what was evaluated, and is not pushed twice.
    assert last_line(tfxray(*run))["pushed_model"] == summary["pushed_model"]
    copies = list((tmp_path / "out" / "data").glob("records-*"))
    assert len(copies) == 1

    pictures = put_some(bucket, images)
    done = tfxray(
        "predict", "--input", pictures, "--output", f"{bucket}/scores",
        "--model", f"{bucket}/served", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    report = last_line(done)
    assert (report["images"], report["model"]) == (5, summary["pushed_model"])
    assert filesystem.list_names(f"{bucket}/scores") == [
        "predict.json",
        "predictions.csv",
        "rejects.csv",
        "statistics.json",
    ]


def put_some(bucket, images):
    """Some images alone, for a quick look."""
    for name in [n for n in filesystem.list_names(images) if n.endswith(".png")][::60]:
        with filesystem.open_file(f"{images}/{name}") as file:
            filesystem.write_file(f"{bucket}/some/{os.path.basename(name)}", file.read())
    return f"{bucket}/some"


def test_a_run_ingests_images_from_a_bucket_once(bucket, images, tfxray, quick_config, tmp_path):
    call = (
        "run", "--config", quick_config, "--data", images, "--out", tmp_path, "--to", "ExampleGen",
        "--json",
    )  # fmt: skip
    done = tfxray(*call)
    assert done.code == 0, done.err
    assert last_line(done)["ingest"]["images"] == 300
    assert "cached" in tfxray(*call).err


def test_a_store_that_fails_in_the_midst_ends_the_job_and_rejects_no_image(
    bucket, images, tfxray, s3_server, monkeypatch, tmp_path
):
    monkeypatch.setattr(s3, "_PATIENCE", 1)
    model = export(tmp_path / "model")
    with s3_faults.between(s3_server.endpoint) as proxy:
        set_s3(monkeypatch, s3_server.environment() | {"AWS_ENDPOINT_URL": proxy.url})

        def fail(handler):
            asked = handler.command == "GET" and handler.path.endswith(".png")
            proxy.asked += asked
            # The first looks find out whether there is DICOM.
            return asked and proxy.asked > proxy.spared and handler.refuse(503, "SlowDown")

        proxy.disturb = fail
        for spared, call in (
            (0, ("ingest", images, "--out", tmp_path / "records")),
            (400, ("ingest", images, "--out", tmp_path / "records")),
            (50, ("predict", "--input", images, "--output", tmp_path / "s", "--model", model)),
        ):
            proxy.asked, proxy.spared = 0, spared
            done = tfxray(*call)
            assert done.code == 2
            assert proxy.asked > spared
            lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
            assert len(lines) == 1
            assert lines[0].startswith(f"error: {images}: http://127.0.0.1")
            assert "is too busy (503 SlowDown)" in lines[0]
            assert "Traceback" not in done.err
            assert ".png" not in lines[0]  # which may name a patient
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another"}, "the credentials are wrong"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
def test_a_store_that_lets_nobody_in_is_told_in_one_line(
    bucket, s3_server, tfxray, monkeypatch, drawn, quick_config, tmp_path, settings, reason
):
    monkeypatch.setattr(s3, "_PATIENCE", 1)
    set_s3(monkeypatch, s3_server.environment() | settings)
    for call in (
        ("ingest", f"{bucket}/in", "--out", tmp_path / "records"),
        ("ingest", drawn, "--out", f"{bucket}/records"),
        ("run", "--config", quick_config, "--data", f"{bucket}/in", "--out", tmp_path / "out"),
        ("predict", "--input", drawn, "--output", f"{bucket}/scores", "--model", tmp_path),
    ):
        done = tfxray(*call)
        assert done.code == 2, done.err
        assert "Traceback" not in done.err
        lines = [line for line in done.err.splitlines() if "error: " in line.lower()]
        assert len(lines) == 1, done.err
        assert reason in lines[0]


def test_results_of_a_run_cannot_lie_in_a_bucket(tfxray, quick_config):
    done = tfxray("run", "--config", quick_config, "--out", "s3://xrays/out")
    assert done.code == 2
    assert "Mount the bucket" in done.err


@pytest.mark.slow
def test_a_whole_run_where_out_is_a_mount_of_the_bucket(
    bucket, s3_server, tfxray, drawn, quick_config, tmp_path
):
    with seaweed.mounted(s3_server, tmp_path) as mount:
        done = tfxray(
            "run", "--config", quick_config, "--data", drawn, "--out", mount / "out", "--json"
        )
        assert done.code == 0, done.err
        pushed = last_line(done)["pushed_model"]
        assert pushed.startswith(str(mount))
    # What the run wrote by the mount is there for all who come by S3.
    version = f"{bucket}/{os.path.relpath(pushed, mount)}"
    assert "saved_model.pb" in filesystem.list_names(version)

"""`tfxray schema`: what is refused, and a run's data from refused to accepted."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tfxray.components.sample import draw
from tfxray.components.validation import schema


@pytest.fixture
def stopped(tmp_path, small_config):
    """The --out of a run that stopped before its first node."""
    folder = tmp_path / "out" / "runs" / "20260101-000000-000"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    shutil.copy(small_config, folder / "config.yaml")
    return tmp_path / "out"


def test_what_cannot_be_shown_is_refused(tfxray, stopped, tmp_path):
    (tmp_path / "odd.pbtxt").write_text("feature {")
    for arguments, message in (
        (["--out", tmp_path], "holds no run"),
        (["--out", stopped], "the run holds no output of SchemaGen"),
        (["--out", stopped, "--file", tmp_path / "odd.pbtxt"], "is no schema"),
        (["--out", stopped, "--file", tmp_path / "none.pbtxt", "--update"], "cannot be read"),
        (["--out", stopped, "--write"], "--write goes with --update"),
    ):
        result = tfxray("schema", *arguments)
        assert result.code == 2
        assert message in result.err
        assert "Traceback" not in result.err
        assert result.out == ""
    assert not (stopped / "metadata.db").exists()


def test_a_run_whose_schema_is_none_is_refused(tfxray, small_config, tmp_path):
    draw.write_sample(tmp_path / "data", images=24, size=64, seed=3)
    (tmp_path / "odd.pbtxt").write_text("feature {")
    result = tfxray(
        "run", "--config", small_config, "--data", tmp_path / "data", "--out", tmp_path / "out",
        "--set", f"validation.schema={tmp_path / 'odd.pbtxt'}",
    )  # fmt: skip
    assert result.code == 2
    assert "odd.pbtxt: is no schema in protobuf's text format" in result.err


def test_data_that_was_refused_is_looked_at_and_accepted(tfxray, quick_config, tmp_path):
    data, out, curated = tmp_path / "data", tmp_path / "out", tmp_path / "my.pbtxt"
    draw.write_sample(data, images=160, size=64, seed=3)
    with (data / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (data / "manifest.csv").open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "view": "LL" if i % 5 else "PA"} for i, row in enumerate(rows))
    # A hospital that has had no lateral views.
    curated.write_text(Path(schema.DEFAULT).read_text().replace(' value: "LL"', ""))
    config = yaml.safe_load(quick_config.read_text())
    config |= {"validation": {"schema": str(curated)}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))

    def run():
        result = tfxray(
            "run", "--config", tmp_path / "my.yaml", "--data", data, "--out", out, "--json"
        )
        return result.code, json.loads(result.out.strip().splitlines()[-1])

    code, summary = run()
    assert code == 4
    assert "study/view" in summary["reason"]
    with open(summary["review"]) as page:
        assert "also LL" in page.read()

    comparison = tfxray("schema", "--out", out)
    assert comparison.code == 0
    assert comparison.err == ""
    lines = comparison.out.splitlines()
    assert lines[0].split() == ["feature", "curated", "inferred"]
    assert ["values", "also", "AP", "also", "LL"] in [line.split() for line in lines]

    before = curated.read_text()
    proposal = tfxray("schema", "--out", out, "--update")
    assert proposal.code == 0
    changes = [line for line in proposal.out.splitlines() if line[:1] in ("+", "-")][2:]
    assert changes == [
        '-string_domain { name: "study_view" value: "PA" value: "AP" }',
        '+string_domain { name: "study_view" value: "PA" value: "AP" value: "LL" }',
    ]
    assert "nothing written; to accept the data, add --write" in proposal.err
    assert curated.read_text() == before

    update = tfxray("schema", "--out", out, "--update", "--write")
    assert update.out.endswith(f"written: {curated}\n")
    assert curated.read_text() == before.replace('"AP"', '"AP" value: "LL"')
    assert [p.name for p in tmp_path.iterdir() if "pbtxt" in p.name] == ["my.pbtxt"]
    assert "asks for no change" in tfxray("schema", "--out", out, "--update").out

    assert run()[0] == 0

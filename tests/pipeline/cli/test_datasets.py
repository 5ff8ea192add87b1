"""`tfxray datasets`: all public data sets, all of one, a config to start from, the reference."""

import json

import pytest
import yaml

from tests.conftest import ROOT
from tfxray.components.layouts import recognise, registry
from tfxray.components.source.dataset import Dataset, Mark
from tfxray.pipeline import data_folder
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.loader import load_config

every = pytest.mark.parametrize("dataset", registry.DATASETS, ids=registry.NAMES)


def squeezed(text):
    """A text without blanks and line ends, wherever it was wrapped."""
    return "".join(text.split())


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_has_all_data_sets_and_fits(tfxray, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    result = tfxray("datasets")
    assert result.code == 0
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split() == ["name", "data", "set", "labels", "split"]
    starts = [n for n, line in enumerate(lines) if n and not line.startswith(" ")]
    assert [lines[n].split()[0] for n in starts] == list(registry.NAMES)
    for dataset, start, end in zip(
        registry.DATASETS, starts, [*starts[1:], len(lines)], strict=True
    ):
        first, whole = lines[start], squeezed("".join(lines[start:end]))
        what = "findings" if dataset.findings else "classes"
        assert dataset.title.split()[0][:15] in first
        assert f"{len(dataset.findings or dataset.classes)} {what}" in first
        assert first.endswith("official" if dataset.official else "drawn")
        assert squeezed(dataset.size) in whole
        assert squeezed(dataset.licence) in whole
        assert squeezed(dataset.citation) in whole
        assert f"needs{dataset.marks[0].globs[0]}".replace(" ", "") in whole


@every
def test_one_data_set_is_told_whole(tfxray, monkeypatch, dataset):
    monkeypatch.setenv("COLUMNS", "80")
    result = tfxray("datasets", dataset.name)
    assert result.code == 0
    facts, _, rest = result.out.partition("stands for these keys")
    assert max(map(len, facts.splitlines())) <= 80
    said = squeezed(facts)
    for text in (
        dataset.title, dataset.size, dataset.licence, dataset.citation, dataset.address,
        dataset.official or "none: the patients are drawn", recognise.describe_layout(dataset),
        *dataset.findings, *dataset.classes, *dataset.left_out,
    ):  # fmt: skip
        assert squeezed(text) in said
    assert ("its reader reads" in rest) == (dataset.read_beside is not None)


def told_keys(text):
    """The keys in a text of `tfxray datasets NAME`."""
    block = text.partition("count more")[2] or text.partition("counts more")[2]
    lines = block[block.index("\ningest:") :].splitlines()
    return yaml.safe_load(
        "\n".join(line for line in lines if line.startswith((" ", "ingest", "split")))
    )


@every
def test_the_keys_are_those_of_the_reader_and_make_a_config(tfxray, dataset):
    keys = told_keys(tfxray("datasets", dataset.name).out)
    assert keys == json.loads(json.dumps(data_folder.reader_keys(dataset)))
    labels = {"findings": dataset.findings} if dataset.findings else {"classes": dataset.classes}
    config = Config.model_validate({"name": "x", **labels, **keys})
    assert config.ingest.views == ["PA", "AP", "unknown"] or "views" in dataset.ingest


@every
def test_a_config_to_start_from_loads_and_says_all_that_it_must(tfxray, tmp_path, dataset):
    result = tfxray("datasets", dataset.name, "--config")
    assert (result.code, result.err) == (0, "")
    path = tmp_path / f"{dataset.name}.yaml"
    path.write_text(result.out)
    config = load_config(path)
    assert (tuple(config.findings), tuple(config.classes)) == (dataset.findings, dataset.classes)
    assert (config.name, config.ingest.dataset) == (dataset.name, dataset.name)
    assert config.split.official == bool(dataset.official)
    assert (config.model.backbone, config.model.arguments) == ("MobileNetV2", {"alpha": 0.35})
    assert (config.model.weights, config.model.image_size) == ("imagenet", 224)
    assert config.train.mode == "frozen"
    assert 0.5 < config.gate.auc.threshold < 0.9
    command = f"tfxray run --config {path.name} --data DIR --out runs/{dataset.name}"
    assert f"# Command:   {command}\n" in result.out
    comments = [line.strip("# -") for line in result.out.splitlines() if line.startswith("#")]
    for text in (dataset.citation, dataset.licence, dataset.address, *dataset.left_out):
        assert squeezed(text.strip("# -")) in squeezed("".join(comments)).replace("#", "")
    assert max(len(line) for line in result.out.splitlines() if " " in line.strip("# ")) <= 100
    checked = tfxray("config", "--config", path)
    assert checked.code == 0, checked.err


def test_json_has_all_of_it(tfxray):
    lines = tfxray("datasets", "--json").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == list(registry.NAMES)
    for line, dataset in zip(lines, registry.DATASETS, strict=True):
        value = json.loads(line)
        assert tfxray("datasets", dataset.name, "--json").out == f"{line}\n"
        assert value.items() >= dataset.describe().items()
        assert value["findings"] == [*dataset.findings]
        assert value["classes"] == [*dataset.classes]
        assert len(value["known_by"]) == len(dataset.marks)
        assert value["images"] == [*dataset.images]
        assert value["ingest"].keys() >= dataset.ingest.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nahi"], f"nahi: no such data set; there are: {', '.join(registry.NAMES)}"),
        (["NIH14", "--config"], "NIH14: no such data set (did you mean nih?); there are: "),
        (["\x1b[31m", "--json"], r"\x1b[31m: no such data set"),
        (["none"], "none: no such data set"),
        (["--config"], "--config needs the NAME"),
        ([registry.NAMES[0], "--reference"], "--reference goes without a NAME"),
        ([registry.NAMES[0], "--config", "--json"], "give one of --config, --json and --reference"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(tfxray, arguments, message):
    result = tfxray("datasets", *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
    assert "Traceback" not in result.err


def test_the_committed_page_is_current(tfxray):
    page = (ROOT / "docs" / "reference" / "datasets.md").read_text(encoding="utf-8")
    result = tfxray("datasets", "--reference")
    assert result.code == 0
    assert page == result.out, "run `make format`"


def test_a_data_set_of_the_hardest_kind_is_told_in_every_way(tfxray, monkeypatch, tmp_path):
    odd = Dataset(
        name="odd_1", title="Odd | *set*", size="1 image", licence="<none>", citation="A: B #1",
        address="http://odd.example/x", marks=(Mark("a*.csv*"), Mark("b_*_c/*.png")), images=(),
        classes=("no", "0: yes", "# other"),
        ingest={"labels": {"": "no", "*": None}, "exclude": ("[ab] c", "null")},
        read_beside=lambda folder, paths: {},
    )  # fmt: skip
    monkeypatch.setattr(registry, "DATASETS", (odd,))
    monkeypatch.setattr(registry, "NAMES", ("odd_1",))
    monkeypatch.setattr(registry, "_BY_NAME", {"odd_1": odd})
    told = tfxray("datasets", "odd_1").out
    assert told_keys(told)["ingest"] == {
        "views": ["PA", "AP", "unknown"],
        "labels": {"": "no", "*": None},
        "exclude": ["[ab] c", "null"],
    }
    assert "its reader reads what files of their own tell" in told
    page = tfxray("datasets", "--reference").out
    assert r"| [`odd_1`](#odd_1) | Odd &#124; \*set\* | 3 classes | drawn |" in page
    assert "&lt;none&gt;" in page
    assert r"- Files: a\*.csv\*; b\_\*\_c/\*.png" in page
    assert "<http" not in page
    path = tmp_path / "odd.yaml"
    path.write_text(tfxray("datasets", "odd_1", "--config").out)
    config = load_config(path)
    assert config.classes == ["no", "0: yes", "# other"]
    assert not config.split.official


def test_capitals_in_a_name_do_not_matter(tfxray):
    assert tfxray("datasets", "NIH").out == tfxray("datasets", "nih").out

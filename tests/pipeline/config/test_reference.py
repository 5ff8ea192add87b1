"""The reference of config keys, held against the models themselves."""

import re
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from tests.conftest import ROOT
from tfxray.pipeline.config import reference
from tfxray.pipeline.config.config import Config
from tfxray.pipeline.config.reference import render_reference

PAGE = render_reference()
# Every row of every table: the key's path, and its cells.
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]
CELLS = {row[0].strip("`"): row[1:] for row in ROWS}
# As `tfxray config` prints it.
RESOLVED = yaml.safe_load(Config(name="demo", classes=["A", "B"]).to_yaml())


def sections(annotation, path):
    """The sections in a key's type, each with the path of its keys."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(annotation, path)]
    origin = getattr(annotation, "__origin__", None)
    inner = f"{path}[]" if origin is list else f"{path}.*" if origin is dict else path
    return [section for part in get_args(annotation) for section in sections(part, inner)]


def walk(model, path, sections_so_far):
    """Yields each key of the models: its path, its field, whether it is a section."""
    for name, field in model.model_fields.items():
        key = f"{path}.{field.alias or name}".lstrip(".")
        nested = sections(field.annotation, key)
        yield key, model, name, field, bool(nested)
        for section, place in nested:
            if section not in sections_so_far:
                sections_so_far.add(section)
                yield from walk(section, place, sections_so_far)


KEYS = list(walk(Config, "", set()))


def test_every_key_of_the_models_appears_once_and_no_other():
    leaves = [key for key, *_, is_section in KEYS if not is_section]
    assert len(leaves) > 100
    keys = [row[0].strip("`") for row in ROWS]
    top = list(Config.model_fields)
    plain = ("name", "classes", "findings")
    below_a_section = [key for key, *_ in KEYS if key not in top or key in plain]
    assert sorted(keys) == sorted(below_a_section)
    assert set(leaves) <= set(keys)


def test_the_sections_stand_in_the_order_of_the_config():
    sections = re.findall(r"^## `(\w+)`$", PAGE, re.M)
    assert sections[2] == "findings"  # which stands in the place of classes
    assert sections[:2] + sections[3:] == list(RESOLVED)


def shown_default(key):
    """What a row says: `required`, `see there`, or the default as YAML reads it."""
    cell = CELLS[key][1]
    if cell == "see below":
        block = re.search(rf"The default of `{re.escape(key)}`:\n\n```yaml\n(.*?)```", PAGE, re.S)
        value = yaml.safe_load(block[1])
        for part in key.split("."):
            value = value[part]
        return value
    return yaml.safe_load(cell[1:-1]) if cell.startswith("`") else cell


def test_the_defaults_are_those_that_config_prints():
    tree = {key: {} for key in RESOLVED} | {key: RESOLVED[key] for key in ("name", "classes")}
    for key in CELLS:
        *parents, last = key.split(".")
        section = tree
        for parent in parents:
            section = section.get(parent) if section is not None else None
        # None: within a section that is null by default, or of a list's entries.
        if parents and section is not None:
            default = shown_default(key)
            section[last] = {} if default == "see there" else default
    # As text: 0 is not 0.0, and order counts.
    assert yaml.safe_dump(tree, sort_keys=False) == yaml.safe_dump(RESOLVED, sort_keys=False)
    assert CELLS["train.epochs"][1] == "`40`"


@pytest.mark.parametrize("key", [key for key in CELLS if key.count(".") > 1 or "[]" in key])
def test_the_defaults_of_every_section_are_those_of_its_model(key):
    (model, name, field) = next(entry[1:4] for entry in KEYS if entry[0] == key)
    default = shown_default(key)
    if field.is_required():
        assert default == "required"
    elif default != "see there":
        assert default == getattr(model.model_construct(), name)


@pytest.mark.parametrize(("model", "name"), [(model, name) for _, model, name, *_ in KEYS])
def test_every_key_has_a_text_in_whole_sentences(model, name):
    field = model.model_fields[name]
    nested = sections(field.annotation, "")
    text = reference._texts_under_keys(model).get(name) or (
        nested[0][0].__doc__ if nested else None
    )
    assert text, f"{model.__name__}.{name}: write a text in quotes under the key"
    assert text.strip().endswith("."), f"{model.__name__}.{name}: the text is no sentence"
    assert "Attributes:" not in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gate.auc.threshold", "number, 0 to 1"),
        ("gate.slice_auc", "number, 0 to 1, or `null`"),
        ("train.mode", "`frozen` or `fine_tune`"),
        ("train.optimizer", "`adam`, `adamw`, `rmsprop` or `sgd`"),
        ("train.epochs", "whole number, at least 1"),
        ("train.learning_rate", "number, above 0"),
        ("model.head.dropout", "number, at least 0 and below 1"),
        ("model.head.hidden", "list of whole numbers, each at least 1"),
        ("train.unfreeze", "`all` or `none`, whole number, at least 1, or list of texts"),
        ("serving.threshold.sensitivity", "number, above 0 and at most 1"),
        ("serving.calibrate", "`true` or `false`"),
        ("kubeflow.container.timeout", r"text, must match `^\d+(\.\d+)?[smhd]$`"),
        ("kubeflow.container.cpu", r"must match `^\d+(\.\d+)?(m\|k\|M\|G\|T"),
        ("kubeflow.image", "text, 1 to 1000 characters"),
        ("kubeflow.volumes", "list of [sections](#kubeflowvolumes)"),
        ("kubeflow.nodes", "to [sections](#kubeflowcontainer)"),
        ("kubeflow.container.tolerations[].operator", "`Equal` or `Exists`"),
        ("tune.ranges", "map from names as listed below to [sections](#tuneranges)"),
        ("validation.drift", "to numbers, each at least 0, or `null`"),
    ],
)
def test_a_value_is_told_in_words_with_its_bounds_and_choices(key, value):
    assert value in CELLS[key][0]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("tune.ranges", "`train.learning_rate`, `train.batch_size`, "),
        ("kubeflow.nodes", "`Monitor`, `Start`, `ExampleGen`, "),
        ("validation.drift", "`image/encoded`, "),
        ("evaluate.slices", "`image/encoded`, "),
    ],
)
def test_many_choices_are_listed_below_the_table(key, names):
    assert PAGE.count(f"Names for `{key}`: {names}") == 1


def test_links_lead_to_a_heading():
    titles = re.findall(r"^#+ `(.*)`$", PAGE, re.M)
    anchors = [re.sub(r"[^\w-]", "", title.lower()) for title in titles]
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) == set(anchors)


def test_the_committed_page_is_current():
    page = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert "`tfxray config --reference`" in page.splitlines()[0]
    assert page == PAGE, "run `make format`"


def test_the_command_prints_the_page_without_a_config(tfxray):
    result = tfxray("config", "--reference")
    assert (result.code, result.out) == (0, PAGE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "--config", "demo"], "--reference goes without --config"),
        (["--reference", "--set", "a=1"], "--set goes with --config"),
        ([], "give --config FILE|NAME, or --reference"),
    ],
)
def test_the_command_refuses_what_does_not_go_together(tfxray, arguments, message):
    result = tfxray("config", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err

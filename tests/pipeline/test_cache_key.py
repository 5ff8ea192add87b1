"""Each node's cache key holds the code behind it; see test_code_digest for what that is."""

import json

import pytest

from tests.conftest import DEMO
from tfxray.components.common import code_digest
from tfxray.pipeline import cache_key, node_settings, pipeline
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.engines import launch
from tfxray.pipeline.places import Places
from tfxray.pipeline.records import Records
from tfxray.pipeline.runs import store

# Where each node's code begins: its executor, and the functions of ours that it calls.
ENTRIES = {
    "ExampleGen": ["tfxray.components.example_gen.executor"],
    "DataGate": ["tfxray.components.validation.data_gate"],
    "Transform": [
        "tfxray.components.transform.executor",
        "tfxray.components.transform.preprocessing",
    ],
    "Trainer": ["tfx.components.trainer.executor", "tfxray.components.trainer.run"],
    "Evaluator": [
        "tfxray.components.evaluator.component",
        "tfxray.components.evaluator.extractors",
    ],
    "StatisticsGen": ["tfx.components.statistics_gen.executor"],
    "Pusher": ["tfxray.components.pusher.component"],
}
UNCACHED = {"BaselineStatistics", "BaselineModel"}


def keys(tmp_path) -> dict[str, str]:
    """What each node's execution gets beside its settings, by node."""
    config = load_config(DEMO)
    graph = pipeline.create_pipeline(
        config,
        Records(str(tmp_path), ("*",)),
        Places.below(str(tmp_path), config, "schema.pbtxt"),
        store.connection_config(f"sqlite:///{tmp_path}/metadata.db"),
    )
    ir = launch.compile_run(graph, "run")
    return {
        node.node_info.id: parameters[cache_key.PROPERTY].field_value.string_value
        for node in launch.list_nodes(ir)
        if cache_key.PROPERTY in (parameters := node.parameters.parameters)
    } | {"nodes": " ".join(node.node_info.id for node in launch.list_nodes(ir))}


def test_every_node_that_is_cached_has_its_code_in_its_key(tmp_path):
    digests = keys(tmp_path)
    nodes = set(digests.pop("nodes").split())
    assert nodes - UNCACHED == set(digests)
    for node, entries in ENTRIES.items():
        assert digests[node] == code_digest.digest(*entries), node


@pytest.mark.parametrize(
    ("library", "nodes"),
    [
        ("tensorflow_data_validation", {"StatisticsGen", "SchemaGen", "DataGate"}),
        ("tensorflow_transform", {"Transform", "Trainer", "Evaluator"}),
        ("keras", {"Transform", "Trainer", "Evaluator"}),
    ],
)
def test_an_upgrade_of_a_library_runs_what_computes_by_it_again(
    tmp_path, monkeypatch, library, nodes
):
    before = keys(tmp_path)
    version = code_digest._version
    monkeypatch.setattr(
        code_digest, "_version", lambda top: "0.0" if top == library else version(top)
    )
    after = keys(tmp_path)
    nodes_with_new_key = {node for node in before if before[node] != after[node]}
    assert nodes <= nodes_with_new_key
    assert not nodes_with_new_key & {"ExampleGen", "Pusher"}


def test_a_training_that_was_killed_goes_by_the_code_too(monkeypatch):
    before = node_settings.trainer_settings(load_config(DEMO), "state")
    monkeypatch.setattr(code_digest, "digest", lambda *entries: json.dumps(entries))
    after = node_settings.trainer_settings(load_config(DEMO), "state")
    assert before | {"code": json.dumps([node_settings.TRAINING])} == after

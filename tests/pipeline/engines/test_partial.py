"""Which nodes a partial run runs, which it takes from earlier runs, and which it leaves out."""

import pytest

from tfxray.components.common.errors import UserError
from tfxray.pipeline import pipeline
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.config.nodes import NODES, ON_DEMAND, Part
from tfxray.pipeline.engines import launch, partial
from tfxray.pipeline.engines.partial import Role
from tfxray.pipeline.places import Places, write_schema
from tfxray.pipeline.records import Records
from tfxray.pipeline.runs import store


@pytest.fixture(scope="module")
def graph(small_config, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("out"))
    config = load_config(small_config, ("evaluate.external.nih.data=x",))
    places = Places.below(out, config, write_schema(config, out))
    connection = store.connection_config(f"sqlite://{out}/metadata.db")
    return pipeline.create_pipeline(config, Records(out, ("*.tfrecord",)), places, connection)


@pytest.fixture
def roles(graph):
    def call(start=None, end=None):
        ir = launch.compile_run(graph, "run")
        nodes = {role: set() for role in Role}
        for node, role in partial.choose_nodes(ir, Part(start, end)):
            nodes[role].add(node.node_info.id)
            uncached = not node.execution_options.caching_options.enable_cache
            assert uncached == (node.node_info.id == start)
        return nodes[Role.RUN], nodes[Role.TAKE], nodes[Role.TAKE_IF_THERE]

    return call


def test_from_runs_a_node_and_what_depends_on_it_and_takes_the_rest(roles):
    run, take, perhaps = roles("Trainer")
    assert run == {"Trainer", "ExternalTest", "BaselineModel", "Evaluator", "Pusher"}
    assert "DataGate" in take
    assert perhaps == {"SchemaGen"}
    assert run | take | perhaps == set(NODES)
    assert roles() == (set(NODES), set(), set())


def test_to_ends_after_a_node_and_leaves_out_what_it_does_not_need(roles):
    run, *rest = roles(end="Transform")
    after = {"Trainer", "ExternalTest", "BaselineModel", "Evaluator", "Pusher"}
    assert run == set(NODES) - after
    assert rest == [set(), set()]
    assert roles("Trainer", "Trainer")[0] == {"Trainer"}


def test_a_push_is_never_without_its_judgement(roles):
    for start in NODES:
        run, take, perhaps = roles(start)
        assert "Pusher" in perhaps or {"Evaluator", "DataGate"} <= run | take


def test_a_part_without_nodes_is_refused(roles, tfxray, small_config, tmp_path):
    with pytest.raises(UserError, match="Trainer does not depend on SchemaGen; nothing would run"):
        roles("SchemaGen", "Trainer")
    command = ("run", "--config", small_config, "--out", tmp_path / "out")
    result = tfxray(*command, "--from", "Evaluator", "--to", "Trainer")
    assert result.code == 2
    assert "Trainer does not depend on Evaluator" in result.err
    result = tfxray(*command, "--from", "Train")
    assert result.code == 2
    assert "'Train' is not one of 'ExampleGen'" in result.err
    assert not (tmp_path / "out").exists()


def test_a_node_that_the_config_does_not_ask_for_is_named_with_its_key(small_config, tmp_path):
    config = load_config(small_config)
    places = Places.below(str(tmp_path), config, write_schema(config, str(tmp_path)))
    connection = store.connection_config(f"sqlite://{tmp_path}/metadata.db")
    records = Records(str(tmp_path), ("*.tfrecord",))
    graph = pipeline.create_pipeline(config, records, places, connection)
    ir = launch.compile_run(graph, "run")
    assert {node.node_info.id for node in launch.list_nodes(ir)} == set(NODES) - set(ON_DEMAND)
    for part in (Part("ExternalTest"), Part(end="ExternalTest")):
        with pytest.raises(UserError, match=r"is there only with evaluate\.external"):
            list(partial.choose_nodes(ir, part))

"""Beam's options: those of docs/how-to/beam.md are Beam's, and a config's reach every job."""

import re

import pytest
import yaml
from apache_beam.options import pipeline_options as beam
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from tests.conftest import ROOT
from tfxray.components.common import beam_options, compat
from tfxray.components.common.errors import UserError
from tfxray.components.ingest import job
from tfxray.components.runners import presets, probe
from tfxray.pipeline import pipeline
from tfxray.pipeline.config import loader
from tfxray.pipeline.config.config import Beam
from tfxray.pipeline.engines import launch
from tfxray.pipeline.places import Places
from tfxray.pipeline.records import Records

SNIPPETS = [
    Beam(**yaml.safe_load(text)["beam"])
    for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/how-to/beam.md").read_text(), re.S)
]
# What each runner's view must have of them.
VIEWS = {
    "direct": (beam.DirectOptions, {"direct_running_mode": "multi_processing"}),
    "flink": (beam.FlinkRunnerOptions, {"flink_master": "jobmanager:8081", "parallelism": 16}),
    "portable": (beam.PortableOptions, {"job_endpoint": "jobserver:8099"}),
    "spark": (beam.SparkRunnerOptions, {"spark_master_url": "spark://spark-master:7077"}),
    "dataflow": (
        beam.GoogleCloudOptions,
        {"temp_location": "gs://my-bucket/tmp", "region": "europe-west4"},
    ),
}
JOBS = {"ExampleGen", "StatisticsGen", "DataGate", "Transform", "Evaluator"}


def config_with(small_config, tmp_path, section):
    content = yaml.safe_load(small_config.read_text()) | {"beam": section.model_dump()}
    path = tmp_path / "beam.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_every_engine_has_a_snippet():
    told = {beam_options.runner(beam_options.parse(s.arguments())) for s in SNIPPETS}
    assert told == set(VIEWS) == set(presets.ENGINES)


@pytest.mark.parametrize("section", SNIPPETS)
def test_no_option_of_the_documentation_is_dropped_on_its_way_to_beam(section):
    arguments = section.arguments()
    pipeline_options = beam_options.parse(arguments)
    values = pipeline_options.get_all_options(drop_default=True)
    assert pipeline_options.get_all_options(retain_unknown_options=True).keys() == (
        pipeline_options.get_all_options().keys()
    )
    # DirectRunner is the default, and so is one process on each machine. Java's are one list.
    assert len(values) >= len({argument.partition("=")[0] for argument in arguments}) - 2
    view, expected = VIEWS[beam_options.runner(pipeline_options)]
    assert expected.items() <= pipeline_options.view_as(view).get_all_options().items()
    if section.workers and section.workers.startswith("docker://"):
        environments = (
            pipeline_options.view_as(beam.PortableOptions).environment_config,
            pipeline_options.view_as(beam.WorkerOptions).sdk_container_image,
        )
        assert section.workers.removeprefix("docker://") in environments


@pytest.mark.parametrize("section", SNIPPETS)
def test_the_options_reach_every_job(section, small_config, tmp_path, tfxray, monkeypatch):
    path = config_with(small_config, tmp_path, section)
    records = Records("gs://b/records", ("*.tfrecord",))
    places = Places("gs://b/root", "gs://b/serving", "gs://b/schema.pbtxt", "gs://b/state")
    graph = pipeline.create_pipeline(loader.load_config(path), records, places, None)
    arguments_by_node = beam_arguments(launch.compile_run(graph, "one"))
    assert arguments_by_node.keys() == JOBS
    arguments = section.arguments()
    assert all(told == beam_options.complete(arguments) for told in arguments_by_node.values()), (
        arguments_by_node
    )
    further = compat.in_process() if section.engine == "direct" else []
    further += ["--sdk_container_image=none"] if section.engine != "dataflow" else []
    assert beam_options.complete(arguments) == [*arguments, *further]
    assert bool(beam_options.complete([])) == bool(compat.in_process())

    ingest_arguments = {}

    def remember(source, out, rules, features, shards, options, *_):
        ingest_arguments["options"] = list(options)
        raise UserError("stop here")

    monkeypatch.setattr(job, "ingest", remember)
    monkeypatch.setattr(probe, "check_workers", lambda options, folders: [])
    (tmp_path / "in").mkdir()
    tfxray("ingest", tmp_path / "in", "--out", tmp_path / "out", "--config", path)
    assert ingest_arguments["options"] == arguments


def beam_arguments(ir):
    """What each Beam node of a compiled pipeline is told."""
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    ir.deployment_config.Unpack(deployment)
    arguments_by_node = {}
    for node, packed in deployment.executor_specs.items():
        if packed.Is(executable_spec_pb2.BeamExecutableSpec.DESCRIPTOR):
            spec = executable_spec_pb2.BeamExecutableSpec()
            packed.Unpack(spec)
            arguments_by_node[node] = list(spec.beam_pipeline_args)
    return arguments_by_node


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--direct_num_worker=2"], "no option of Beam's: --direct_num_worker"),
        (["--direct_running_mode=fast"], "invalid choice: 'fast'"),
        (["--runner=DataflowRunner", "--regions=x"], "no option of Beam's: --regions"),
    ],
)
def test_an_option_that_beam_would_drop_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        beam_options.parse(options)


def test_processes_of_our_own_read_images_only_where_beam_works_in_this_process():
    assert beam_options.in_this_process(beam_options.parse([]))
    assert beam_options.in_this_process(beam_options.parse(["--temp_location=gs://b/tmp"]))
    assert beam_options.in_this_process(beam_options.parse(beam_options.complete([])))
    for section in SNIPPETS:
        assert not beam_options.in_this_process(beam_options.parse(section.arguments()))

"""The packages: what Kubeflow Pipelines and Vertex are told of the graph."""

import json
import re

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from tfxray.components.ingest import job
from tfxray.components.sample import draw
from tfxray.components.source import labelling
from tfxray.pipeline.config import metadata_address
from tfxray.pipeline.config.kubeflow import resource_name
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.config.nodes import NODES, ON_DEMAND
from tfxray.pipeline.kubeflow.package import list_upstream, write_package
from tfxray.pipeline.kubeflow.package_file import Package

TRAINER = """kubeflow.nodes.Trainer={gpus: 2, cpu: "8", memory: 32Gi, timeout: 2d, image: gpu:1,
  node_selector: {pool: gpu}, tolerations: [{key: nvidia.com/gpu, operator: Exists}]}"""

EXTERNAL = "evaluate.external.nih.data=/data/nih"
OVERRIDES = (TRAINER, "kubeflow.container.retries=3", EXTERNAL)


@pytest.fixture(scope="module")
def package(small_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "package.yaml"
    write_package(load_config(small_config, OVERRIDES), path)
    return path


@pytest.fixture(scope="module")
def documents(package):
    return list(yaml.safe_load_all(package.read_text()))


@pytest.fixture(scope="module")
def spec(documents):
    return documents[0]


@pytest.fixture(scope="module")
def tasks(spec):
    return spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]


@pytest.fixture(scope="module")
def platform(documents):
    return documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_kfps_own_loader_and_schema_take_it(package, documents):
    assert components.load_component_from_file(str(package)).name == "demo"
    json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(documents[1], pipeline_spec_pb2.PlatformSpec())


def test_a_task_waits_for_what_its_node_waits_for_and_no_more(tasks, small_config):
    upstream = list_upstream(load_config(small_config, (EXTERNAL,)))
    assert set(upstream) == set(NODES)
    assert {"ExternalTest", "Trainer"} <= set(upstream["Evaluator"])
    assert set(list_upstream(load_config(small_config))) == set(NODES) - set(ON_DEMAND)
    names = {node: resource_name(node) for node in upstream}
    for node, before in upstream.items():
        expected = sorted(names[other] for other in before) or ["start"]
        assert sorted(tasks[names[node]]["dependentTasks"]) == expected
    # Side by side, as the graph allows.
    assert tasks["schema-gen"]["dependentTasks"] == ["statistics-gen"]
    assert tasks["example-validator"]["dependentTasks"] == ["curated-schema", "statistics-gen"]


def test_the_page_is_written_whatever_happened(spec):
    review = spec["root"]["dag"]["tasks"]["review"]
    assert review["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    outputs = spec["components"]["comp-review"]["outputDefinitions"]
    assert outputs["artifacts"]["page"]["artifactType"]["schemaTitle"] == "system.HTML"
    assert outputs["artifacts"]["metrics"]["artifactType"]["schemaTitle"] == "system.Metrics"
    assert outputs["parameters"]["status"]["parameterType"] == "STRING"


def test_one_package_serves_many_runs(spec, small_config):
    settings = load_config(small_config).kubeflow
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert {name: parameter["defaultValue"] for name, parameter in parameters.items()} == {
        "data": "", "image": settings.image, "metadata": settings.metadata, "root": settings.root,
    }  # fmt: skip
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor["container"]
        assert container["command"] == ["tfxray-node"]
        assert "{{$.inputs.parameters['run']}}" in container["args"]
        assert "{{$.inputs.parameters['root']}}" in container["args"]
        expected = "gpu:1" if label == "exec-trainer" else "{{$.inputs.parameters['image']}}"
        assert container["image"] == expected


def test_containers_name_nothing_that_kfp_leaves_as_it_is_written(spec, tasks):
    # The driver fills in a task's inputs, the launcher its own input and where outputs go. What is
    # known of the run is known of a task's inputs alone.
    for name, task in (*tasks.items(), ("review", spec["root"]["dag"]["tasks"]["review"])):
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        container = executor["container"]
        known = {f"{{{{$.inputs.parameters['{key}']}}}}" for key in task["inputs"]["parameters"]}
        texts = (container["image"], *container["command"], *container["args"])
        wanted = {found for text in texts for found in re.findall(r"\{\{\$.*?\}\}", text)}
        assert wanted <= known | {"{{$}}"}, name
        assert task["inputs"]["parameters"]["run"] == {
            "runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}
        }


def test_the_config_travels_in_the_package_and_no_secret(spec, small_config, tmp_path, monkeypatch):
    arguments = spec["deploymentSpec"]["executors"]["exec-start"]["container"]["args"]
    config = yaml.safe_load(arguments[arguments.index("--config") + 1])
    assert config["train"]["epochs"] == load_config(small_config).train.epochs
    monkeypatch.setenv(metadata_address.PASSWORD, "my-own-password")
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "my-own-token")
    write_package(load_config(small_config), tmp_path / "package.yaml")
    assert "my-own" not in (tmp_path / "package.yaml").read_text()


@pytest.fixture(scope="module")
def watched(small_config, tmp_path_factory):
    """The package where a monitor comes first."""
    path = tmp_path_factory.mktemp("package") / "watched.yaml"
    monitor = ("kubeflow.monitor.images=/mnt/new", "kubeflow.nodes.Monitor.memory=4Gi")
    write_package(load_config(small_config, (*OVERRIDES, *monitor)), path)
    return path


def test_the_pipeline_runs_if_the_monitor_asks_for_it(watched, spec, tasks):
    """The form that `dsl.If` compiles to: a group with a condition, which waits for the monitor."""
    own, platform = yaml.safe_load_all(watched.read_text())
    assert components.load_component_from_file(str(watched)).name == "demo"
    json_format.ParseDict(own, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    first = own["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert set(first) == {"monitor", "condition-2"}
    assert "dependentTasks" not in first["monitor"]
    assert first["monitor"]["cachingOptions"] == {}
    group = first["condition-2"]
    assert group["dependentTasks"] == ["monitor"]
    assert group["triggerPolicy"] == {
        "condition": "inputs.parameter_values['pipelinechannel--monitor-train'] == 'yes'"
    }
    assert group["inputs"]["parameters"]["pipelinechannel--monitor-train"] == {
        "taskOutputParameter": {"producerTask": "monitor", "outputParameterKey": "train"}
    }
    # Within the group is the pipeline as it is without a monitor, and outside of it the page.
    within = own["components"][group["componentRef"]["name"]]["dag"]["tasks"]
    assert within == tasks
    assert own["root"]["dag"]["tasks"] == spec["root"]["dag"]["tasks"]
    assert own["root"]["inputDefinitions"] == spec["root"]["inputDefinitions"]
    outputs = own["components"]["comp-monitor"]["outputDefinitions"]
    assert outputs["artifacts"]["page"]["artifactType"]["schemaTitle"] == "system.HTML"
    assert outputs["artifacts"]["result"]["artifactType"]["schemaTitle"] == "system.Artifact"
    assert set(outputs["parameters"]) == {"status", "train"}
    container = own["deploymentSpec"]["executors"]["exec-monitor"]["container"]
    assert container["args"][0] == "Monitor"
    assert container["resources"]["memoryLimit"] == pytest.approx(4.29, abs=0.01)
    config = yaml.safe_load(container["args"][container["args"].index("--config") + 1])
    assert config["kubeflow"]["monitor"] == {"images": "/mnt/new", "scored": None}
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors["exec-monitor"] == executors["exec-start"]
    assert {"monitor", "start", "pusher", "review"} <= Package.read(watched).tasks


def test_nothing_is_cached_by_kfp(spec, tasks):
    for task in (*tasks.values(), spec["root"]["dag"]["tasks"]["review"]):
        assert task["cachingOptions"] == {}


def test_a_node_gets_what_the_config_gives_it(spec, tasks, platform):
    resources = spec["deploymentSpec"]["executors"]["exec-trainer"]["container"]["resources"]
    # Later versions of kfp write the same a second time, under newer names.
    accelerator = resources["accelerator"]
    assert (accelerator["count"], accelerator["type"]) == ("2", "nvidia.com/gpu")
    assert resources["cpuLimit"] == resources["cpuRequest"] == 8.0
    assert resources["memoryLimit"] == pytest.approx(34.36, abs=0.01)
    assert resources["memoryRequest"] == pytest.approx(34.36, abs=0.01)
    trainer = platform["exec-trainer"]
    assert trainer["activeDeadlineSeconds"] == str(2 * 86400)
    assert trainer["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert trainer["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert "accelerator" not in str(spec["deploymentSpec"]["executors"]["exec-transform"])
    assert tasks["trainer"]["retryPolicy"]["maxRetryCount"] == 3
    # Argo ends each further try so long after the first one began.
    longest = float(tasks["trainer"]["retryPolicy"]["backoffMaxDuration"].removesuffix("s"))
    assert longest > 4 * 2 * 86400
    assert "retryPolicy" not in tasks["data-gate"]  # bad data get no better


def test_every_container_has_volume_and_secret(platform):
    assert len(platform) == len(NODES) + 2
    for executor in platform.values():
        (volume,) = executor["pvcMount"]
        assert (volume["constant"], volume["mountPath"]) == ("tfxray-data", "/mnt/tfxray")
        (secret,) = executor["secretAsEnv"]
        assert secret["secretName"] == "tfxray-metadata"
        assert secret["keyToEnv"] == [
            {"secretKey": "password", "envVar": "TFXRAY_METADATA_PASSWORD"}
        ]
        # What the SDK in the lock knows; the rest is of later versions.
        fields = {
            k: v for k, v in executor.items() if k not in ("activeDeadlineSeconds", "tolerations")
        }
        json_format.ParseDict(fields, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "kubeflow.nodes.Trainr={gpus: 1}",
            "nodes.Trainr: is no node (did you mean Trainer?); allowed",
        ),
        ("kubeflow.metadata=mysql://u:secret@h/db", "holds a password; it belongs in the env"),
        ("kubeflow.metadata=postgres://u@h/db", "is no metadata store; allowed: mysql://USER@"),
        ("kubeflow.container.memory=8 GB", "kubeflow.container.memory"),
        ("kubeflow.container.timeout=never", "kubeflow.container.timeout"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_at_once(tfxray, small_config, override, message):
    result = tfxray("config", "--config", small_config, "--set", override)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err


def test_compile_writes_it(tfxray, small_config, tmp_path):
    result = tfxray("compile", "--config", small_config, "--output", tmp_path / "p.yaml")
    assert result.code == 0
    assert result.out.strip() == str(tmp_path / "p.yaml")
    assert (tmp_path / "p.yaml").read_text().startswith("# PIPELINE DEFINITION")
    wrong = tfxray("compile", "--config", small_config, "--output", tmp_path / "p.txt")
    assert (wrong.code, "must end with .yaml" in wrong.err) == (2, True)
    nowhere = tfxray("compile", "--config", small_config, "--output", tmp_path / "no" / "p.yaml")
    assert (nowhere.code, "no such folder" in nowhere.err) == (2, True)


def test_vertex_gets_tfxs_own_package(tfxray, small_config, tmp_path):
    draw.write_sample(tmp_path / "images", images=40, size=64, seed=1)
    rules = labelling.Rules(classes=("NORMAL", "PNEUMONIA"))
    job.ingest(tmp_path / "images", tmp_path / "records", rules)
    result = tfxray(
        "compile", "--engine", "vertex", "--config", small_config, "--output", tmp_path / "p.json",
        "--set", f"kubeflow.root={tmp_path / 'root'}",
        "--set", f"kubeflow.data={tmp_path / 'records'}",
        "--set", "kubeflow.nodes.Trainer.image=gpu:1",
    )  # fmt: skip
    assert result.code == 0, result.err
    package = json.loads((tmp_path / "p.json").read_text())
    tasks = package["pipelineSpec"]["root"]["dag"]["tasks"]
    assert {"ExampleGen", "DataGate", "Trainer", "Evaluator", "Pusher"} <= set(tasks)
    # Vertex knows resolvers of TFX's own alone.
    assert not {"BaselineStatistics", "DistributionValidator"} & set(tasks)
    executors = package["pipelineSpec"]["deploymentSpec"]["executors"]
    assert executors["Trainer_executor"]["container"]["image"] == "gpu:1"
    assert executors["Transform_executor"]["container"]["image"] == "tfxray:0.1.0"
    schema = next((tmp_path / "root" / "schema").rglob("schema.pbtxt"))
    assert str(schema) in json.dumps(package)

    for override, message in (
        ("kubeflow.data=null", "kubeflow.data: is missing"),
        ("train.distribution=multi_worker", "this package starts one host"),
        ("kubeflow.monitor.images=/mnt/new", "kubeflow.monitor: this package has no monitor"),
    ):
        refusal = tfxray(
            "compile", "--engine", "vertex", "--config", small_config,
            "--output", tmp_path / "q.json", "--set", override,
        )  # fmt: skip
        assert (refusal.code, message in refusal.err) == (2, True)

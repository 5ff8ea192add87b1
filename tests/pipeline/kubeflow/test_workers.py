"""Pods that train with Trainer's: what Kubernetes is given finds each other, and is a cluster."""

import json

import pytest
import yaml
from kubernetes import client

from tfxray.components.common.errors import UserError
from tfxray.components.trainer.distributed import tf_config
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.kubeflow import package, workers

MORE = (
    "train.distribution=multi_worker", "kubeflow.workers=2",
    "kubeflow.nodes={Trainer: {image: 'gpu:1', gpus: 2, memory: 16Gi}}",
)  # fmt: skip


@pytest.fixture
def config(small_config):
    return load_config(small_config, MORE)


@pytest.fixture
def manifests(config, tmp_path):
    """What `tfxray compile` writes, by kind and name."""
    path = package.write_workers(config, tmp_path / "package.yaml")
    assert path == tmp_path / "package.workers.yaml"
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(path.read_text())}


def test_chief_and_workers_are_one_cluster(config, manifests):
    chief = tf_config.read_cluster(workers.chief_environment(config))
    assert chief.chief
    job = manifests["Job", "demo-trainer-worker"]
    pod = job["spec"]["template"]["spec"]
    places = [chief.place]
    for index in range(job["spec"]["completions"]):
        environment = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        # As Kubernetes expands a variable that stands before.
        cluster = environment["TF_CONFIG"].replace("$(WORKER_INDEX)", str(index))
        worker = tf_config.read_cluster({"TF_CONFIG": cluster})
        assert worker.addresses == chief.addresses
        places.append(worker.place)
    assert places == [0, 1, 2]


def test_every_address_leads_to_a_pod(config, manifests):
    hosts = [a.rpartition(":")[0] for a in tf_config.read_cluster(
        workers.chief_environment(config)).addresses]  # fmt: skip
    job = manifests["Job", "demo-trainer-worker"]
    template = job["spec"]["template"]
    subdomain = template["spec"]["subdomain"]
    # A Job of this kind names its pods NAME-INDEX; a headless service makes names of them.
    assert hosts == [
        "demo-trainer-chief",
        *(f"demo-trainer-worker-{i}.{subdomain}" for i in (0, 1)),
    ]
    assert job["spec"]["completionMode"] == "Indexed"
    for name, labels in (
        ("demo-trainer-chief", workers.chief_labels(config)),
        (subdomain, template["metadata"]["labels"]),
    ):
        service = manifests["Service", name]["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"]
        assert service["selector"].items() <= labels.items()
        policy = manifests["NetworkPolicy", "demo-trainer"]["spec"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()


def test_trainers_pod_knows_its_workers(config, tmp_path):
    package.write_package(config, tmp_path / "package.yaml")
    spec, platform = yaml.safe_load_all((tmp_path / "package.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"]
    (variable,) = executors["exec-trainer"]["container"]["env"]
    assert json.loads(variable["value"])["task"] == {"type": "chief", "index": 0}
    assert "env" not in executors["exec-transform"]["container"]
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert pods["exec-trainer"]["podMetadata"]["labels"] == workers.chief_labels(config)
    assert "podMetadata" not in pods["exec-transform"]


def test_pods_get_the_labels_of_the_config(small_config, tmp_path):
    labels = {"team": "chest", "kueue.x-k8s.io/queue-name": "gpus"}
    more = (
        "kubeflow.container.labels={team: chest}",
        "kubeflow.nodes={Trainer: {labels: {team: chest, kueue.x-k8s.io/queue-name: gpus}}}",
    )
    config = load_config(small_config, (*MORE[:2], *more))
    package.write_package(config, tmp_path / "package.yaml")
    _, platform = yaml.safe_load_all((tmp_path / "package.yaml").read_text())
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert pods["exec-transform"]["podMetadata"] == {"labels": {"team": "chest"}}
    chief = {**labels, **workers.chief_labels(config)}
    assert pods["exec-trainer"]["podMetadata"] == {"labels": chief}
    (job,) = [d for d in workers.manifest(config) if d["kind"] == "Job"]
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert labels.items() <= metadata["labels"].items()


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("{a b: c}", "is no label of Kubernetes"),
        ("{a: 'b c'}", "is no label of Kubernetes"),
        ("{tfxray/role: chief}", "tfxray itself gives the labels"),
    ],
)
def test_what_is_no_label_is_refused(small_config, labels, told):
    with pytest.raises(UserError, match=told):
        load_config(small_config, (f"kubeflow.container.labels={labels}",))


def test_a_worker_gets_what_trainer_gets_and_no_password(manifests):
    pod = manifests["Job", "demo-trainer-worker"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "gpu:1"
    assert container["resources"]["limits"] == {
        "cpu": "2", "memory": "16Gi", "nvidia.com/gpu": "2",
    }  # fmt: skip
    assert {e["name"] for e in container["env"]} == {"WORKER_INDEX", "TF_CONFIG"}
    assert container["volumeMounts"] == [
        {"name": "volume-0", "mountPath": "/mnt/tfxray", "readOnly": True}
    ]
    assert pod["automountServiceAccountToken"] is False


def test_kubernetes_own_types_take_it(manifests):
    kinds = {"Job": "V1Job", "Service": "V1Service", "NetworkPolicy": "V1NetworkPolicy"}
    api = client.ApiClient()
    # Of this, the client in the lock demands what Kubernetes leaves open.
    policy = manifests["Job", "demo-trainer-worker"]["spec"].pop("podFailurePolicy")
    assert policy["rules"][0]["onExitCodes"]["values"] == [2]
    for (kind, _), resource in manifests.items():
        response = type("Response", (), {"data": json.dumps(resource)})
        read = api.sanitize_for_serialization(api.deserialize(response, kinds[kind]))
        assert read == resource, kind


def test_a_name_that_makes_no_pod_is_refused(small_config, tmp_path):
    config = load_config(small_config, (*MORE, f"name={'x' * 41}"))
    with pytest.raises(UserError, match="at most 40 characters"):
        package.write_workers(config, tmp_path / "package.yaml")
    assert package.write_workers(load_config(small_config), tmp_path / "package.yaml") is None

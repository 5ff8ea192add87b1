"""A run as a JobSet or TFJob: the controller's schema takes it, and its pods find each other."""

import copy
import json

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests import crds
from tfxray.components.common.errors import UserError
from tfxray.components.trainer.distributed import tf_config
from tfxray.pipeline.config.loader import load_config
from tfxray.pipeline.kubeflow import whole_run, workers

QUEUE = {"kueue.x-k8s.io/queue-name": "gpus"}
MORE = (
    "train.distribution=multi_worker", "kubeflow.workers=2",
    "kubeflow.nodes={Trainer: {gpus: 2, retries: 3, timeout: 2h,"
    " labels: {kueue.x-k8s.io/queue-name: gpus}}}",
)  # fmt: skip


@pytest.fixture
def config(small_config):
    return load_config(small_config, MORE)


@pytest.fixture
def manifests(tfxray, small_config, tmp_path):
    """What `tfxray compile --engine jobset` writes, by kind."""
    output = tmp_path / "run.yaml"
    sets = [word for key in MORE for word in ("--set", key)]
    done = tfxray("compile", "--engine", "jobset", "--config", small_config, *sets,
                  "--output", output)  # fmt: skip
    assert (done.code, done.out) == (0, f"{output}\n"), done.err
    assert "&id" not in output.read_text()
    return {d["kind"]: d for d in yaml.safe_load_all(output.read_text())}


def job(manifest, name):
    (found,) = [j for j in manifest["spec"]["replicatedJobs"] if j["name"] == name]
    return found["template"]["spec"]


def test_the_controllers_schema_takes_it(manifests):
    crds.validate(manifests["JobSet"])
    spoilt = copy.deepcopy(manifests["JobSet"])
    spoilt["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["misspelt"] = 1
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        crds.validate(spoilt)
    spoilt = copy.deepcopy(manifests["JobSet"])
    spoilt["spec"]["failurePolicy"]["rules"][0]["action"] = "Restart"
    with pytest.raises(jsonschema.ValidationError, match="Restart"):
        crds.validate(spoilt)


def test_kubernetes_own_schemas_take_the_rest(manifests):
    for kind in ("ConfigMap", "NetworkPolicy"):
        kubernetes_validate.validate(manifests[kind], "1.37", strict=True)
    for part in manifests["JobSet"]["spec"]["replicatedJobs"]:
        # What the controller makes of it.
        job = {"apiVersion": "batch/v1", "kind": "Job", **part["template"]}
        kubernetes_validate.validate(job, "1.37", strict=True)


def test_the_pods_are_one_cluster_by_the_names_that_a_jobset_gives(manifests):
    jobset, places = manifests["JobSet"], []
    names = {}
    for part in jobset["spec"]["replicatedJobs"]:
        spec = part["template"]["spec"]
        assert spec["completionMode"] == "Indexed"
        (container,) = spec["template"]["spec"]["containers"]
        environment = {e["name"]: e.get("value") for e in container["env"]}
        for index in range(spec["completions"]):
            # <jobSet.name>-<spec.replicatedJob.name>-<job-index>-<pod-index>.<subdomain>, of which
            # the last is the JobSet's name by default (JobSet's API, spec.network).
            name = jobset["metadata"]["name"]
            text = environment["TF_CONFIG"].replace("$(WORKER_INDEX)", str(index))
            cluster = tf_config.read_cluster({"TF_CONFIG": text})
            names[f"{name}-{part['name']}-0-{index}.{name}:2222"] = cluster
            places.append(cluster.place)
    assert places == [0, 1, 2]
    assert {cluster.addresses for cluster in names.values()} == {tuple(names)}


def test_what_does_not_change_by_another_try_ends_the_run(manifests):
    spec = manifests["JobSet"]["spec"]
    assert spec["failurePolicy"]["maxRestarts"] == 3
    (rule,) = spec["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    assert spec["successPolicy"] == {"operator": "All", "targetReplicatedJobs": ["chief"]}
    final = {}
    for name in ("chief", "worker"):
        (rule,) = job(manifests["JobSet"], name)["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        final[name] = rule["onExitCodes"]["values"]
    assert final == {"chief": [2, 3, 4], "worker": [2]}
    assert job(manifests["JobSet"], "chief")["activeDeadlineSeconds"] == 7200


def test_a_queue_gets_the_jobset_as_a_whole(config, manifests):
    jobset = manifests["JobSet"]
    assert QUEUE.items() <= jobset["metadata"]["labels"].items()
    policy = manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
    for part in jobset["spec"]["replicatedJobs"]:
        assert not QUEUE.keys() & part["template"]["metadata"]["labels"].keys()
        labels = part["template"]["spec"]["template"]["metadata"]["labels"]
        assert policy.items() <= labels.items()
    # On Kubeflow Pipelines: the workers' Job.
    (workers_job,) = [d for d in workers.manifest(config) if d["kind"] == "Job"]
    assert QUEUE.items() <= workers_job["metadata"]["labels"].items()


def test_the_chief_runs_the_config_and_alone_may_write(config, manifests):
    chief, worker = (job(manifests["JobSet"], n)["template"]["spec"] for n in ("chief", "worker"))
    (container,) = chief["containers"]
    assert container["command"] == [
        "tfxray", "run", "--config", "/etc/tfxray/config.yaml", "--out", "/mnt/tfxray",
    ]  # fmt: skip
    assert manifests["ConfigMap"]["data"] == {"config.yaml": config.to_yaml()}
    mounts = {m["mountPath"]: m["readOnly"] for m in container["volumeMounts"]}
    assert mounts == {"/mnt/tfxray": False, "/etc/tfxray": True}
    (mount,) = worker["containers"][0]["volumeMounts"]
    assert mount["readOnly"]
    assert worker["volumes"][0]["persistentVolumeClaim"]["readOnly"]
    for pod in (chief, worker):
        assert "TFXRAY_METADATA_PASSWORD" not in str(pod)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True


def test_one_pod_needs_no_others(small_config):
    config = load_config(small_config, ("kubeflow.data=/mnt/tfxray/xrays",))
    (*_, alone) = whole_run.manifest(config)
    crds.validate(alone)
    assert [j["name"] for j in alone["spec"]["replicatedJobs"]] == ["chief"]
    (container,) = job(alone, "chief")["template"]["spec"]["containers"]
    assert container["env"] == []
    assert container["command"][-2:] == ["--data", "/mnt/tfxray/xrays"]


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("kubeflow.root=gs://bucket/runs", r"kubeflow.root = gs://bucket/runs: must be a folder"),
        ("name=2026-cxr", r"name = '2026-cxr': .* the first is a letter"),
    ],
)
def test_what_makes_no_jobset_is_refused(small_config, key, told):
    with pytest.raises(UserError, match=told):
        whole_run.manifest(load_config(small_config, (*MORE, key)))


def test_training_operators_schema_takes_a_tfjob(tfxray, small_config, tmp_path):
    output = tmp_path / "run.yaml"
    sets = [word for key in MORE for word in ("--set", key)]
    done = tfxray("compile", "--engine", "tfjob", "--config", small_config, *sets,
                  "--output", output)  # fmt: skip
    assert done.code == 0, done.err
    *_, resource = yaml.safe_load_all(output.read_text())
    crds.validate(resource)
    assert QUEUE.items() <= resource["metadata"]["labels"].items()
    policy = resource["spec"]["runPolicy"]
    assert (policy["backoffLimit"], policy["activeDeadlineSeconds"]) == (3, 7200)
    replicas = resource["spec"]["tfReplicaSpecs"]
    assert {role: part["replicas"] for role, part in replicas.items()} == {"Chief": 1, "Worker": 2}
    for role, program in {"Chief": "tfxray", "Worker": "tfxray-worker"}.items():
        # The operator looks for these names (tensorflow_types.go), and writes TF_CONFIG there.
        (container,) = replicas[role]["template"]["spec"]["containers"]
        assert container["name"] == "tensorflow"
        assert container["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
        assert container["env"] == []
        assert container["command"][0] == program


def test_what_training_operator_writes_into_tf_config_is_read():
    """As its genTFConfigJSONStr writes it (v1.9.3): addresses of services, and an environment."""
    names = {role: f"demo-run-{role}-0.kubeflow.svc:2222" for role in ("chief", "worker")}
    text = json.dumps({
        "cluster": {role: [address] for role, address in names.items()},
        "task": {"type": "worker", "index": 0}, "environment": "cloud",
    })  # fmt: skip
    cluster = tf_config.read_cluster({"TF_CONFIG": text})
    assert cluster.addresses == tuple(names.values())
    assert cluster.place == 1

"""The folder kubeflow/: what a cluster is given is valid, confined, pinned, and fits the code."""

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT
from tfxray.components.common import contract
from tfxray.pipeline.config.kubeflow import Kubeflow

FOLDER = ROOT / "kubeflow"
README = (FOLDER / "README.md").read_text()
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
LABEL_OF_RUNS = {"pipelines.kubeflow.org/v2_component": "true"}
# What a compiled package expects in its namespace, unless the config says otherwise.
EXPECTED = Kubeflow()
(VOLUME,), (SECRET,) = EXPECTED.volumes, EXPECTED.secrets

Document = dict[str, Any]


def documents() -> list[Document]:
    """All resources in the folder; kustomizations are none."""
    files = [path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"]
    return [doc for path in sorted(files) for doc in yaml.safe_load_all(path.read_text())]


def known() -> list[Document]:
    """Those of Kubernetes' own kinds: of KServe's, no schema can be had from a registry."""
    return [doc for doc in documents() if not doc["apiVersion"].startswith("serving.kserve.io/")]


def the(kind: str, name: str) -> Document:
    (found,) = [d for d in documents() if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def pods() -> dict[str, Document]:
    """Specs of pods, by what makes them."""
    found = {}
    for doc in known():
        if doc["kind"] == "Pod":
            found["Pod " + doc["metadata"]["name"]] = doc["spec"]
        elif "template" in doc.get("spec", {}):
            found[f"{doc['kind']} {doc['metadata']['name']}"] = doc["spec"]["template"]["spec"]
    return found


def containers() -> Iterator[Document]:
    for spec in pods().values():
        yield from spec["containers"]
        yield from spec.get("initContainers", [])


def named(doc: Document) -> str:
    return f"{doc['kind']}-{doc['metadata']['name']}"


# The oldest and the newest of which schemas are at hand.
@pytest.mark.parametrize("version", ["1.25", "1.37"])
@pytest.mark.parametrize("doc", known(), ids=named)
def test_manifests_keep_the_schema(doc: Document, version: str):
    kubernetes_validate.validate(doc, version, strict=True)
    spoilt = copy.deepcopy(doc)
    spoilt["spec"]["misspelt"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, version, strict=True)


@pytest.mark.parametrize("folder", ["manifests", "one-node", "serving"])
def test_kustomizations_render(folder: str):
    written = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    for resource in written["resources"]:
        assert (FOLDER / folder / resource).exists()
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl: the kustomizations were not rendered, their parts alone validated")
    command = ["kubectl", "kustomize", str(FOLDER / folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rendered = list(yaml.safe_load_all(done.stdout))
    assert {doc["metadata"]["namespace"] for doc in rendered} == {"kubeflow"}
    for doc in rendered:
        kubernetes_validate.validate(doc, "1.33", strict=True)
    modes = [d["spec"]["accessModes"] for d in rendered if d["kind"] == "PersistentVolumeClaim"]
    expected = {"manifests": [["ReadWriteMany"]], "one-node": [["ReadWriteOnce"]], "serving": []}
    assert modes == expected[folder]


def test_no_secret_stands_in_the_folder():
    assert not [doc for doc in documents() if doc["kind"] == "Secret"]
    secrets = [
        variable
        for container in containers()
        for variable in container.get("env", [])
        if re.search("PASSW|TOKEN|SECRET|KEY", variable["name"])
    ]
    assert len(secrets) >= 2
    for variable in secrets:
        assert "value" not in variable
        assert variable["valueFrom"]["secretKeyRef"]["name"] == SECRET.secret
    # Nor is one shown in an argument list, where any user of the machine can read it.
    assert "--from-literal" not in README


@pytest.mark.parametrize("name", pods())
def test_pods_are_confined(name: str):
    spec = pods()[name]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        context, resources = container["securityContext"], container["resources"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} == set(resources["requests"]) == set(resources["limits"])
        if name.startswith(("Deployment", "StatefulSet")):
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


def admits(policy: Document, labels: dict[str, str], port: str) -> bool:
    """Whether a pod of the same namespace with these labels may connect."""
    return any(
        set(peer["podSelector"]["matchLabels"].items()) <= set(labels.items())
        and port in [p["port"] for p in rule["ports"]]
        for rule in policy["spec"]["ingress"]
        for peer in rule["from"]
    )


@pytest.mark.parametrize(
    ("kind", "name", "port", "client"),
    [
        ("StatefulSet", "tfxray-metadata", "mysql", LABEL_OF_RUNS),
        ("Deployment", "tfxray-model-server", "rest", {"tfxray/model-client": "true"}),
    ],
)
def test_only_labelled_pods_reach_the_servers(
    kind: str, name: str, port: str, client: dict[str, str]
):
    server, policy = the(kind, name), the("NetworkPolicy", name)
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    assert chosen.items() <= server["spec"]["template"]["metadata"]["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"] == []
    for rule in policy["spec"]["ingress"]:
        for peer in rule["from"]:  # an empty selector would admit every pod
            assert set(peer) == {"podSelector"}
            assert peer["podSelector"]["matchLabels"]
    assert admits(policy, client, port)
    assert admits(policy, the("Pod", "tfxray-shell")["metadata"]["labels"], port)
    assert not admits(policy, {}, port)
    assert not admits(policy, {"app.kubernetes.io/part-of": "tfxray"}, port)
    ports = [
        p["name"] for c in server["spec"]["template"]["spec"]["containers"] for p in c["ports"]
    ]
    assert port in ports


def test_images_are_pinned():
    images = {container["image"] for container in containers()}
    ours = {image for image in images if image.startswith("tfxray")}
    assert ours == {f"tfxray:{VERSION}"} == {EXPECTED.image}
    for image in images - ours:
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+", image), image
    assert f"tfxray:{VERSION} " in DOCKERFILE
    assert f"tfxray:{VERSION}-gpu " in DOCKERFILE


def test_names_are_those_that_runs_expect():
    claim = the("PersistentVolumeClaim", VOLUME.claim)
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for kind, name in (("Job", "tfxray-volume"), ("Pod", "tfxray-shell")):
        pod = pods()[f"{kind} {name}"]
        claimed = {"name": "data", "persistentVolumeClaim": {"claimName": VOLUME.claim}}
        assert claimed in pod["volumes"]
        mounted = {"name": "data", "mountPath": VOLUME.mount}
        assert mounted in pod["containers"][0]["volumeMounts"]
    assert EXPECTED.root == VOLUME.mount
    address = urlsplit(EXPECTED.metadata)
    service = the("Service", address.hostname)
    assert [port["port"] for port in service["spec"]["ports"]] == [address.port]
    (database,) = pods()[f"StatefulSet {address.hostname}"]["containers"]
    variables = {variable["name"]: variable for variable in database["env"]}
    assert variables["MARIADB_USER"]["value"] == address.username
    assert variables["MARIADB_DATABASE"]["value"] == address.path[1:]
    reference = {"name": SECRET.secret, "key": SECRET.key}
    assert variables["MARIADB_PASSWORD"]["valueFrom"]["secretKeyRef"] == reference
    assert f"create secret generic {SECRET.secret} " in README
    assert f"--from-file={SECRET.key}=" in README


def test_models_are_served_from_where_they_are_pushed():
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = (FOLDER / "serving" / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    demo = yaml.safe_load((ROOT / "configs" / "demo.yaml").read_text())
    assert model.name == demo["name"]
    (server,) = the("Deployment", "tfxray-model-server")["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    assert mounts["data"]["subPath"] == "serving"
    assert model.base_path == f"{mounts['data']['mountPath']}/{demo['name']}"
    assert f"--model_config_file={mounts['config']['mountPath']}/models.config" in server["args"]
    by_kserve = the("InferenceService", demo["name"])["spec"]["predictor"]["model"]
    assert by_kserve["storageUri"] == f"pvc://{VOLUME.claim}/serving/{demo['name']}"
    assert server["image"].endswith(f":{by_kserve['runtimeVersion']}")


def test_readme_asks_as_the_model_is_exported():
    body = re.search(r"'(\{\"signature_name\".*?\})'", README)[1]
    asked = json.loads(body.replace("%s", "aGVsbG8="))
    assert asked == {
        "signature_name": contract.SIGNATURE_BYTES,
        "instances": [{"b64": "aGVsbG8="}],
    }


def test_readme_names_files_that_exist():
    named_files = set(re.findall(r"(?<![\w./])(?:kubeflow|configs)/[\w./-]*\w", README))
    assert named_files
    missing = [name for name in named_files if not (ROOT / name).exists()]
    assert not missing


def test_dockerfile_keeps_hadolints_rules(tmp_path: Path):
    hadolint = Path(sys.executable).with_name("hadolint")
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(DOCKERFILE + "\nRUN pip install requests\nUSER root\n")
    for file, code in ((FOLDER / "Dockerfile", 0), (spoilt, 1)):
        done = subprocess.run([hadolint, str(file)], capture_output=True, text=True)
        assert done.returncode == code, done.stdout


def test_images_hold_this_repository_as_locked():
    bases = re.findall(r"^FROM python:(\d\.\d+)\.\d+-(\S+) AS (full|slim)-(\S+)$", DOCKERFILE, re.M)
    assert set(bases) == {
        ("3.13", "trixie", "full", "tfx-1.21"),
        ("3.13", "slim-trixie", "slim", "tfx-1.21"),
        ("3.10", "bookworm", "full", "tfx-1.16"),
        ("3.10", "slim-bookworm", "slim", "tfx-1.16"),
    }
    assert re.search(r"^ARG STACK=(.*)$", DOCKERFILE, re.M)[1] == "tfx-1.21"
    commands = re.sub(r"\\\n\s*", "", DOCKERFILE)
    installs = re.findall(r"uv (?:pip install|build) .*?(?=&&|$)", commands, re.M)
    assert len(installs) == 4
    for install in installs:
        assert "constraint requirements.lock" in install or "--no-deps" in install, install
    # The packages come by way of .dockerignore: tests/test_package.py builds what it admits.
    copied = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M)
    assert copied == ["pyproject.toml ./", "requirements-${STACK}.lock requirements.lock", ". ./"]
    assert [line for line in IGNORED if not line.startswith(("#", "!"))] == ["*", "**/__pycache__"]
    admitted = {line[1:] for line in IGNORED if line.startswith("!")}
    assert {"pyproject.toml", "requirements-*.lock", "setup.py"} <= admitted
    for stack in {base[3] for base in bases}:
        assert (ROOT / f"requirements-{stack}.lock").is_file()


def test_images_run_as_the_user_that_owns_the_volume():
    user = the("Job", "tfxray-volume")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.M)
    for target in ("cpu", "gpu"):
        (stage,) = [s for s in stages if s.startswith(f"runtime AS {target}\n")]
        assert re.findall(r"^USER (.*)$", stage, re.M)[-1] == f"{user}:{user}"

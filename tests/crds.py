"""Schemas of resources that are not Kubernetes' own, by which tests check manifests.

tests/data/crds/ holds them: the CustomResourceDefinitions of their projects (Apache-2.0), without
the descriptions. `python -m tests.crds` makes them again, by Go's client for modules.
"""

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import yaml

FOLDER = Path(__file__).parent / "data" / "crds"
# By the kind: the Go module, its version, and the file in it.
SOURCES = {
    "JobSet": (
        "sigs.k8s.io/jobset", "v0.11.0", "config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml",
    ),
    "TFJob": (
        "github.com/kubeflow/training-operator", "v1.9.3",
        "manifests/base/crds/kubeflow.org_tfjobs.yaml",
    ),
}  # fmt: skip


def validate(resource: dict[str, Any]) -> None:
    """Checks a resource as the API server would, without the rules that are programs (CEL).

    Raises:
        jsonschema.ValidationError: It does not keep the schema, or has a field that this lacks.
    """
    group, _, version = resource["apiVersion"].partition("/")
    schema = _schema(resource["kind"], group, version)
    jsonschema.Draft7Validator(schema).validate(resource)


@functools.cache
def _schema(kind: str, group: str, version: str) -> dict[str, Any]:
    spec = json.loads((FOLDER / f"{kind}.json").read_text())["spec"]
    assert (spec["group"], spec["names"]["kind"]) == (group, kind)
    (found,) = [v for v in spec["versions"] if v["name"] == version and v["served"]]
    return _closed(found["schema"]["openAPIV3Schema"])


def _closed(schema: Any) -> Any:
    """The schema, which refuses what it does not name, as `kubectl apply` does by default."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if named and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def _plain(part: Any) -> Any:
    if isinstance(part, list):
        return [_plain(p) for p in part]
    if not isinstance(part, dict):
        return part
    return {
        key: _plain(value)
        for key, value in part.items()
        if not (key == "description" and isinstance(value, str))
    }


def main() -> None:
    """Makes the files."""
    FOLDER.mkdir(exist_ok=True)
    for kind, (module, version, file) in SOURCES.items():
        command = ["go", "mod", "download", "-json", f"{module}@{version}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        text = Path(json.loads(done.stdout)["Dir"], file).read_text()
        crd = _plain(yaml.load(text, yaml.CSafeLoader))
        (FOLDER / f"{kind}.json").write_text(json.dumps(crd, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

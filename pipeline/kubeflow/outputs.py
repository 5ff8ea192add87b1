"""The outputs of tasks, where Kubeflow Pipelines looks for them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfxray.components.text import escape
from tfxray.pipeline.runs import run_summary

# What the task `monitor` tells the condition for the pipeline.
TRAIN = {True: "yes", False: "no"}


def publish_review(executor_input: str, summary: run_summary.Summary, page: bytes) -> None:
    """Hands over the outputs of the task `review`.

    Args:
        executor_input: KFP's `ExecutorInput`, in JSON: where it looks for each output.
        summary: What the run came to.
        page: The review page.
    """
    outputs = json.loads(executor_input)["outputs"]
    _write(_artifact_path(outputs, "page"), page)
    _write(_parameter_path(outputs, "status"), summary.status.encode())
    figures: dict[str, Any] = {
        "auc": summary.auc,
        "auc_low": summary.auc_interval[0] if summary.auc_interval else None,
        "auc_high": summary.auc_interval[1] if summary.auc_interval else None,
        "auc_threshold": summary.threshold,
        "pushed": float(summary.status == "pushed"),
    }
    figures |= {f"auc_{name}": own["auc"] for name, own in summary.findings.items()}
    for name, own in summary.external.items():
        figures |= {
            f"external_{name}_auc": own["auc"],
            f"external_{name}_change_from_test": own["change_from_test"],
            f"external_{name}_unlike": own["unlike"],
        }
    name = outputs["artifacts"]["metrics"]["artifacts"][0]["name"]
    metadata = {key: value for key, value in figures.items() if value is not None}
    output = {"artifacts": {"metrics": {"artifacts": [{"name": name, "metadata": metadata}]}}}
    _write(outputs["outputFile"], json.dumps(output).encode())


def publish_monitor(executor_input: str, result: Mapping[str, Any], page: bytes) -> None:
    """Hands over the outputs of the task `monitor`.

    Args:
        executor_input: See `publish_review`.
        result: What it came to; see `monitor.watch_images`.
        page: The page of the watch.
    """
    outputs = json.loads(executor_input)["outputs"]
    _write(_artifact_path(outputs, "page"), page)
    _write(_artifact_path(outputs, "result"), escape.to_json(result, indent=1).encode())
    _write(_parameter_path(outputs, "status"), str(result["status"]).encode())
    _write(_parameter_path(outputs, "train"), TRAIN[result["train"]].encode())


def _artifact_path(outputs: Mapping[str, Any], name: str) -> str:
    return mount_path(outputs["artifacts"][name]["artifacts"][0]["uri"])


def _parameter_path(outputs: Mapping[str, Any], name: str) -> str:
    return str(outputs["parameters"][name]["outputFile"])


def _write(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(content)


def mount_path(uri: str) -> str:
    """Where KFP's launcher looks for an artifact, which it then uploads to its address."""
    for scheme in ("gs", "minio", "s3"):
        if uri.startswith(f"{scheme}://"):
            return f"/{'gcs' if scheme == 'gs' else scheme}/{uri.split('://', 1)[1]}"
    return uri

"""The harness `kfp.py` beside Kubeflow Pipelines' own compiler, driver and launcher.

These ran the package of `kubeflow/probe.py`, compiled by kfp 2.5.0 and by kfp 2.17.3.
`data/kfp/started_with.json` holds with what they started its containers, by their version: the id
of the run, addresses and folders are given names there, and the artifact that the driver adds for
the log is left out.
"""

import json
import re
from pathlib import Path

import pytest

from tests import kfp
from tests.kubeflow import probe

RECORDED = json.loads((Path(__file__).parent / "data" / "kfp" / "started_with.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> kfp.Run:
    folder = tmp_path_factory.mktemp("probe")
    probe.write_package(folder / "package.yaml")
    return kfp.Cluster(folder, {}).run(folder / "package.yaml", "probe-run", {})


@pytest.mark.parametrize("version", RECORDED)
def test_containers_start_with_what_kfp_starts_them_with(run, version):
    assert run.state == "SUCCEEDED"
    assert {container.task: _named(container) for container in run.containers} == RECORDED[version]
    assert run.skipped == ["condition-3"]


def _named(container: kfp.Container) -> list:
    """A container's arguments, with names instead of what each run has anew."""
    (line,) = (one for one in container.log.splitlines() if one.startswith(probe.MARK))
    line = line.removeprefix(probe.MARK)
    for pattern, name in (
        (r'[^" \\]*/artifacts/', "ARTIFACTS/"),
        (r'[^" \\]*/outputs/', "OUTPUTS/"),
        ("probe-run", "RUN"),
    ):
        line = re.sub(pattern, name, line)
    arguments = json.loads(line)
    return [json.loads(text) if text.startswith('{"') else text for text in arguments]

"""TF_CONFIG is read as TensorFlow has it, and what is wrong with it is said."""

import json

import pytest

from tfxray.components.common.errors import UserError
from tfxray.components.trainer.distributed import tf_config

HOSTS = ["a:2222", "b.svc:2222"]


def _config(jobs, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


def test_the_chief_is_the_first_worker_or_a_task_of_its_own():
    first = tf_config.read_cluster(_config({"worker": HOSTS}))
    assert first == tf_config.Cluster(("a:2222", "b.svc:2222"), 0)
    assert first.chief
    assert first.several
    assert not tf_config.read_cluster(_config({"worker": HOSTS}, index=1)).chief
    jobs = {"worker": HOSTS, "chief": ["c:1"]}
    assert tf_config.read_cluster(_config(jobs, "chief")) == tf_config.Cluster(("c:1", *HOSTS), 0)
    assert tf_config.read_cluster(_config(jobs)).place == 1
    assert not tf_config.read_cluster(_config({"chief": ["c:1"]}, "chief")).several


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "TF_CONFIG is not set"),
        ({"TF_CONFIG": "{"}, "is not JSON"),
        ({"TF_CONFIG": "[]"}, 'needs "cluster" and "task"'),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, 'needs "cluster" and "task"'),
        (_config({}), "names no host"),
        (_config({"worker": []}), "must be a list of host:port"),
        (_config({"worker": ["a"]}), "'a' is not host:port"),
        (_config({"worker": ["a:70000"]}), "'a:70000' is not host:port"),
        (_config({"worker": ["a:1", "a:1"]}), "a:1 stands there twice"),
        (_config({"worker": HOSTS, "ps": ["p:1"]}), "cluster.ps: there are only chief and worker"),
        (_config({"chief": HOSTS}, "chief"), "cluster.chief: is one host, not 2"),
        (_config({"worker": HOSTS}, "chief"), "task.type: 'chief' is not in the cluster"),
        (_config({"worker": HOSTS}, index=2), "task.index: 2 is not in the cluster: worker has 0"),
        (_config({"worker": HOSTS}, index="1"), "task.index: '1' is not in the cluster"),
    ],
)
def test_what_is_wrong_with_it_is_said(environment, message):
    with pytest.raises(UserError) as error:
        tf_config.read_cluster(environment)
    assert message in str(error.value)
    assert "TF_CONFIG" in str(error.value)


def test_the_pipeline_runs_on_no_host_but_the_chief(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", _config({"worker": HOSTS}, index=1)["TF_CONFIG"])
    with pytest.raises(UserError, match=r"start: tfxray-worker"):
        tf_config.as_chief()

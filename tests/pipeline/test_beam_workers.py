"""What a lost machine of a cluster is told as."""

import pytest

from tfxray.components.common.errors import HostLost, UserError
from tfxray.components.runners import flink
from tfxray.pipeline import beam_workers
from tfxray.pipeline.config.config import Beam

MASTER = "jobmanager:8081"
HOSTS = {"tm-1": "one", "tm-2": "two"}


@pytest.fixture
def answers(monkeypatch):
    """What the cluster tells of its task managers, one answer after the other."""
    told = []

    def tell(cluster):
        assert cluster.address == f"http://{MASTER}"
        if isinstance(answer := told.pop(0), Exception):
            raise answer
        return answer

    monkeypatch.setattr(flink.Cluster, "task_managers", property(tell))
    monkeypatch.setattr(flink.Cluster, "slots", 2)
    return told


def fail(error, beam=None):
    with beam_workers.name_lost_hosts(beam or Beam(engine="flink", master=MASTER)):
        raise error


@pytest.mark.parametrize("after", [{"tm-1": "one"}, {"tm-1": "one", "tm-3": "two"}])
def test_the_host_of_a_task_manager_that_is_gone_is_named(answers, after):
    answers += [HOSTS, after]
    with pytest.raises(HostLost, match="has lost its task manager on two"):
        fail(RuntimeError("NoResourceAvailableException"))


@pytest.mark.parametrize(
    "told",
    [
        "RemoteTransportException: Connection unexpectedly closed by remote task manager "
        "'two/10.77.3.12:39771 [ tm-2 ] '. This might indicate that it was lost.",
        "TimeoutException: Heartbeat of TaskManager with id tm-2 timed out.",
        "ResourceManagerException: TaskManager with id tm-2 is no longer reachable.",
    ],
)
def test_a_task_manager_that_flink_itself_misses_is_named(answers, told):
    answers += [HOSTS, HOSTS]
    with pytest.raises(HostLost, match="has lost its task manager on two"):
        fail(RuntimeError(told))


def test_a_cluster_that_is_gone_is_told(answers):
    answers += [HOSTS, UserError("no Flink cluster answers there")]
    with pytest.raises(HostLost, match="no Flink cluster answers there"):
        fail(RuntimeError("Connection refused"))


def test_a_failure_of_our_own_stays_itself(answers):
    answers += [HOSTS, HOSTS]
    with pytest.raises(ValueError, match="ours"):
        fail(ValueError("ours"))


def test_what_a_user_can_mend_stays_itself(answers):
    answers += [HOSTS]
    with pytest.raises(UserError, match="mend"):
        fail(UserError("mend it"))


def test_without_a_cluster_none_is_asked(answers):
    with pytest.raises(ValueError, match="ours"):
        fail(ValueError("ours"), Beam())
    assert not answers

"""What MultiWorkerMirroredStrategy needs beside Keras's fit: hosts that compute in step."""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Plan = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Share:
    """What one host of several reads: of each batch, the parts of its replicas.

    Attributes:
        first: Its first replica.
        replicas: The number of its replicas.
        of: The number of replicas on all hosts.
    """

    first: int = 0
    replicas: int = 1
    of: int = 1

    def parts(self, *values: tf.Tensor) -> tf.data.Dataset:
        """The same for each of its replicas, with the replica's number as the last value."""
        numbers = tf.data.Dataset.range(self.first, self.first + self.replicas)
        return numbers.map(lambda number: (*values, number))

    def bounds(self, number: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Where a replica's part of so many examples begins and ends; it may be empty."""
        return count * number // self.of, count * (number + 1) // self.of


def share_plan(strategy: tf.distribute.Strategy, plan: Plan | None) -> Plan:
    """Sends the chief's plan to all hosts.

    Args:
        strategy: Where a training is computed.
        plan: The chief's; None on the others.
    """
    text = json.dumps(plan).encode() if plan is not None else b""
    # As floating point numbers, which all devices can gather.
    numbers = _gather(strategy, np.frombuffer(text, np.uint8).astype(np.float32))
    result: Plan = json.loads(numbers.astype(np.uint8).tobytes())
    return result


def require_same(strategy: tf.distribute.Strategy, value: int) -> None:
    """Makes sure that all hosts stand at the same point; waits for them.

    Args:
        strategy: Where a training is computed.
        value: Less than 2**24.

    Raises:
        RuntimeError: They do not.
    """
    if not has_several_hosts(strategy):
        return
    values = _gather(strategy, np.array([value], np.float32))
    if len(set(values.tolist())) > 1:
        raise RuntimeError(
            f"the hosts are at different points of the training, {values.astype(int).tolist()}: "
            "do all of them see the same folder?"
        )


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The hosts of a training.

    Attributes:
        number: Of this one.
        count: How many there are.
        gather: From this host's counts to those of all hosts, [hosts, *shape].
    """

    number: int
    count: int
    gather: Callable[[np.ndarray], np.ndarray]


ALONE = Hosts(0, 1, lambda counts: counts[np.newaxis])


def find_hosts(strategy: tf.distribute.Strategy) -> Hosts:
    """The hosts of a strategy.

    Args:
        strategy: Where a training is computed.
    """
    if not has_several_hosts(strategy):
        return ALONE
    resolver = strategy.cluster_resolver
    after_chief = resolver.task_type == "worker" and "chief" in resolver.cluster_spec().jobs
    number = resolver.task_id + after_chief
    return Hosts(number, _hosts(strategy), lambda counts: _gather_counts(strategy, counts))


def _gather_counts(strategy: tf.distribute.Strategy, counts: np.ndarray) -> np.ndarray:
    # Floating point numbers of 32 bits tell whole ones apart below 2**24.
    high, low = np.divmod(counts.reshape(-1).astype(np.int64), 2**20)
    values = _gather(strategy, np.concatenate([high, low]).astype(np.float32))
    high, low = values.astype(np.int64).reshape(-1, 2, counts.size).swapaxes(0, 1)
    return (high * 2**20 + low).reshape(-1, *counts.shape)


def _gather(strategy: tf.distribute.Strategy, values: np.ndarray) -> np.ndarray:
    """The values of all hosts, one after the other; each host's by its first replica."""

    def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
        local = strategy.num_replicas_in_sync // _hosts(strategy)
        first = context.replica_id_in_sync_group % local == 0
        return tf.constant(values if first else values[:0])

    of_all = strategy.experimental_distribute_values_from_function(of_replica)
    return np.asarray(strategy.gather(of_all, axis=0))


def _hosts(strategy: tf.distribute.Strategy) -> int:
    spec = strategy.cluster_resolver.cluster_spec()
    return sum(spec.num_tasks(job) for job in spec.jobs)


def has_several_hosts(strategy: tf.distribute.Strategy) -> bool:
    """Whether this is a training on several hosts."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_writer(strategy: tf.distribute.Strategy) -> bool:
    """Whether this host is the one that writes: the chief of several, or the only one."""
    if not has_several_hosts(strategy):
        return True
    resolver = strategy.cluster_resolver
    first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return bool(resolver.task_type == first and resolver.task_id == 0)


def spread_batches(
    strategy: tf.distribute.Strategy, share: Callable[[Share], tf.data.Dataset]
) -> tf.data.Dataset:
    """Batches as a strategy takes them: of several hosts, each reads its own share.

    Args:
        strategy: Where a training is computed.
        share: Gives the batches of a share.
    """
    if not has_several_hosts(strategy):
        return share(Share())

    def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        local = replicas // context.num_input_pipelines
        return share(Share(context.input_pipeline_id * local, local, replicas))

    return strategy.distribute_datasets_from_function(of_host)


def fit_for_several(model: keras.Model) -> None:
    """Has a model's steps give what Keras can average over hosts.

    Keras 3 averages a step's figures along an axis that they do not have (keras#20585). And a
    training example without weight, which fills an empty share, must not count in its metrics.

    Args:
        model: Built within the strategy's scope.
    """
    compute = model.compute_metrics

    def metrics(x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if sample_weight is not None:
            counts = tf.reduce_max(sample_weight, axis=1) > 0
            y, y_pred, sample_weight = y[counts], y_pred[counts], sample_weight[counts]
        return compute(x, y, y_pred, sample_weight)

    def step(of_model: Callable[[Any], Mapping[str, tf.Tensor]], data: Any) -> Any:
        return {name: tf.reshape(value, [1]) for name, value in of_model(data).items()}

    model.compute_metrics = metrics
    model.train_step = functools.partial(step, model.train_step)
    model.test_step = functools.partial(step, model.test_step)

"""The devices that a model is trained on."""

import tensorflow as tf

from tfxray.components.errors import UserError


def prepare(replicas: int, batch: int) -> None:
    """Splits the CPU, to try several replicas without GPUs; before TensorFlow computes anything.

    Args:
        replicas: How many devices the CPU becomes.
        batch: Examples per step, over all replicas.

    Raises:
        UserError: There are more GPUs than examples in a batch.
    """
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > batch:
        raise UserError(
            f"train.batch_size = {batch}: smaller than the number of GPUs, {gpus}; each needs an "
            "image per step. Raise it, or set train.distribution to one_device"
        )
    if replicas > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(replicas)]
        tf.config.set_logical_device_configuration(cpu, parts)


def strategy(distribution: str) -> tf.distribute.Strategy:
    """Where a training is computed, on this host.

    Args:
        distribution: The config's `train.distribution`; of `multi_worker`, this host's part.
    """
    if distribution != "one_device":
        gpus = tf.config.list_logical_devices("GPU")
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(None if gpus else cpus)
    return tf.distribute.OneDeviceStrategy(
        "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    )

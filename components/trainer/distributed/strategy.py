"""The devices that a model is trained on."""

import tensorflow as tf

from tfxray.components.common.errors import UserError


def prepare_devices(replicas: int, batch: int) -> None:
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


def make_strategy(distribution: str) -> tf.distribute.Strategy:
    """Where a training is computed, on this host.

    Args:
        distribution: The config's `train.distribution`; of `multi_worker`, this host's part.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if distribution == "one_device" or len(devices) == 1:
        # TensorFlow's own: it takes the first GPU where there is one, and spares a small head half
        # of its time, which Mirrored spends on handing batches over.
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])

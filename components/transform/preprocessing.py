"""Transform's user function: images to Trainer's inputs, by a graph that is served later."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfxray.components.common import contract, decoder
from tfxray.components.common.contract import UNKNOWN
from tfxray.components.networks import backbone
from tfxray.components.networks.distortion_ranges import Distortions
from tfxray.components.networks.distortions import DRAWS, distort

# Beam decides how many examples make a batch; so many images at a time bound the memory, and two
# such chunks side by side keep the cores busy. Their feature maps then fit a core's cache: a fifth
# less time than 64 one after the other (benchmarks/NOTES.md).
CHUNK = 16
_CHUNKS_AT_ONCE = 2
_POLICIES = {"ignore": UNKNOWN, "positive": 1, "negative": 0}
_MISSING = -2
# A graph holds 2 GiB at most, and TFT's holds the backbone more than once.
_MAX_CONSTANTS = 70_000_000


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Embeds images with the frozen backbone, or resizes them for a backbone that learns.

    Args:
        inputs: `image/encoded` and `image/class/label`, of shape [n, 1], or the findings, sparse;
            where the schema has them (`tensor_representation_group`), `image/filename`,
            `study/site`, `study/view` and `patient/id`, sparse.
        custom_config: `mode`, the config's `train.mode`; `backbone`, the fields of a
            `backbone.BackboneSpec`; `copies`, `distortions` (the fields of a
            `distortion_ranges.Distortions`) and `seed`, of the distorted embeddings; `findings`, of
            each its name and the policy for what is uncertain, where findings are asked for.

    Returns:
        `target`, int64 [n, 1], or of findings [n, k]; `key`, int64 [n, 1], to find an image again;
        `name`, strings [n, 1], where the schema has file names: Trainer sorts by it; and in mode
        `frozen` `embedding`, float32 [n, d], `hospital` and `projection`, strings [n, 1], and
        `owner`, int64 [n, 1], where the schema has them, and, where copies are asked for,
        `distorted`, float32 [n, copies, d]; in mode `fine_tune` `pixels`, strings of shape [n]:
        PNGs, grey, of the backbone's size. Trainer reads `distorted` of the training split alone;
        what nobody asks the served graph for, it does not compute.
    """
    encoded = tf.reshape(inputs[contract.IMAGE], [-1])
    key = tf.strings.to_hash_bucket_fast(encoded, 2**62)
    if policies := custom_config.get("findings"):
        target = stack_findings(inputs, policies, tf.size(encoded))
    else:
        target = inputs[contract.LABEL]
    outputs = {contract.TARGET: target, contract.KEY: key[:, tf.newaxis]}
    if contract.FILENAME in inputs:
        names = first_values(inputs[contract.FILENAME], tf.size(encoded))
        outputs[contract.NAME] = names[:, tf.newaxis]
    if custom_config["mode"] == "fine_tune":
        outputs[contract.PIXELS] = shrink_pixels(encoded, custom_config["backbone"]["image_size"])
        return outputs
    spec = backbone.BackboneSpec(**custom_config["backbone"])
    embedder = tft.make_and_track_object(lambda: shared_embedder(spec), name="embedder")
    outputs[contract.EMBEDDING] = embedder.embed(encoded)
    if contract.SITE in inputs and contract.PATIENT in inputs:
        patient = first_values(inputs[contract.PATIENT], tf.size(encoded))
        owner = tf.strings.to_hash_bucket_fast(patient, 2**62)
        outputs[contract.OWNER] = tf.where(patient == "", key, owner)[:, tf.newaxis]
        outputs[contract.HOSPITAL] = first_values(inputs[contract.SITE], tf.size(encoded))[
            :, tf.newaxis
        ]
        if contract.VIEW in inputs:
            views = first_values(inputs[contract.VIEW], tf.size(encoded))
            outputs[contract.PROJECTION] = views[:, tf.newaxis]
    if custom_config["copies"]:
        distortions = Distortions(**custom_config["distortions"])
        outputs[contract.DISTORTED] = embedder.embed_distorted(
            encoded, distortions, custom_config["copies"], custom_config["seed"]
        )
    return outputs


def stack_findings(
    inputs: Mapping[str, tf.SparseTensor], policies: Iterable[Sequence[str]], count: tf.Tensor
) -> tf.Tensor:
    """The labels of all findings, int64 [n, k]: 1, 0, or -1 where nobody knows.

    Args:
        inputs: By feature; 1, 0, -1 where nobody is sure, and nothing where nobody said.
        policies: Of each finding its name and what stands for uncertain: `ignore`, `positive` or
            `negative`.
        count: Images.
    """
    columns = []
    for name, policy in policies:
        sparse = inputs[contract.finding(name)]
        at_first = tf.sparse.retain(sparse, sparse.indices[:, 1] == 0)
        # What is missing is told from what is uncertain.
        values = tf.sparse.to_dense(
            tf.SparseTensor(at_first.indices[:, :1], at_first.values, [tf.cast(count, tf.int64)]),
            _MISSING,
        )
        values = tf.where(values == UNKNOWN, tf.constant(_POLICIES[policy], tf.int64), values)
        columns.append(tf.where(values == _MISSING, tf.constant(UNKNOWN, tf.int64), values))
    return tf.stack(columns, 1)


def first_values(values: tf.SparseTensor | tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Of texts [n, any number], the first of each row, [n]; empty where there is none.

    Args:
        values: Sparse; or dense, as of a schema of the user's that demands one in each record.
        count: n.
    """
    if not isinstance(values, tf.SparseTensor):
        return values[:, 0]
    at_first = tf.sparse.retain(values, values.indices[:, 1] == 0)
    rows = at_first.indices[:, :1]
    shape = [tf.cast(count, tf.int64)]
    return tf.sparse.to_dense(tf.SparseTensor(rows, at_first.values, shape), "")


def shrink_pixels(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """JPEG or PNG, strings of shape [n], to grey PNGs of `size` x `size` pixels."""

    def one(image: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(tf.round(tf.clip_by_value(decode_pixels(image, size), 0, 255)), tf.uint8)
        return tf.io.encode_png(pixels, compression=1)

    return tf.map_fn(one, encoded, fn_output_signature=tf.TensorSpec([], tf.string))


def shared_embedder(spec: backbone.BackboneSpec) -> "Embedder":
    """The embedder of a backbone, from a cache of one.

    TFT traces preprocessing_fn half a dozen times. A backbone takes seconds to build and to trace;
    this way each is done once.
    """
    return _cached_embedder(json.dumps(dataclasses.asdict(spec), sort_keys=True))


@functools.lru_cache(maxsize=1)
def _cached_embedder(spec_json: str) -> "Embedder":
    spec = backbone.BackboneSpec(**json.loads(spec_json))
    with tf.init_scope():
        return Embedder(backbone.shared_backbone(spec), spec.image_size)


class Embedder(tf.Module):
    """Images to embeddings, CHUNK images at a time."""

    def __init__(self, network: keras.Model, size: int):
        """Wraps a backbone.

        Args:
            network: See `backbone.build_backbone`.
            size: Pixels on each side that it takes.
        """
        super().__init__()
        self._size = size
        self._width = network.output_shape[-1]
        pixels = tf.TensorSpec([None, size, size, 1], tf.float32)
        call = tf.function(
            lambda x: network(x, training=False), autograph=False
        ).get_concrete_function(pixels)
        if network.count_params() <= _MAX_CONSTANTS:
            # Constants, not variables: a SavedModel is written and read in a fraction of the time,
            # and TensorFlow can merge batch normalisation into the convolutions.
            frozen = convert_variables_to_constants_v2(call)
            self._call = lambda x: frozen(x)[0]
        else:
            self._variables = network.variables  # a tf.Module does not see into a Keras 3 model
            self._call = call

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def embed(self, encoded: tf.Tensor) -> tf.Tensor:
        """JPEG or PNG, strings of shape [n], to float32 of shape [n, d]."""
        return _in_chunks(encoded, lambda part: self._call(self._decode(part)), [self._width])

    def embed_distorted(
        self, encoded: tf.Tensor, distortions: Distortions, copies: int, seed: int
    ) -> tf.Tensor:
        """Embeds distorted images; an image is always distorted in the same ways.

        Args:
            encoded: JPEG or PNG, strings of shape [n].
            distortions: How far.
            copies: How many per image.
            seed: Of the draws, besides the image itself.

        Returns:
            float32 of shape [n, copies, d].
        """

        def embed(part: tf.Tensor) -> tf.Tensor:
            pixels = self._decode(part)
            draws, noise = _draw_changes(part, pixels, copies, seed)
            return tf.stack(
                [
                    self._call(distort(pixels, draws[:, k], distortions, noise[k]))
                    for k in range(copies)
                ],
                1,
            )

        return _in_chunks(encoded, embed, [copies, self._width])

    def _decode(self, encoded: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda image: decode_pixels(image, self._size),
            encoded,
            fn_output_signature=tf.TensorSpec([self._size, self._size, 1]),
        )


def _in_chunks(
    encoded: tf.Tensor, compute: Callable[[tf.Tensor], tf.Tensor], shape: list[int]
) -> tf.Tensor:
    """Computes [n, *shape] from [n], CHUNK items at a time."""
    count = tf.shape(encoded)[0]
    chunks = (count + CHUNK - 1) // CHUNK

    def step(index: tf.Tensor, results: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        part = encoded[index * CHUNK : (index + 1) * CHUNK]
        return index + 1, results.write(index, compute(part))

    parts = tf.TensorArray(tf.float32, size=chunks, infer_shape=False, element_shape=[None, *shape])
    _, parts = tf.while_loop(
        lambda index, _: index < chunks, step, (0, parts), parallel_iterations=_CHUNKS_AT_ONCE
    )
    whole = tf.cond(chunks > 0, parts.concat, lambda: tf.zeros([0, *shape], tf.float32))
    return tf.ensure_shape(whole, [None, *shape])


def _draw_changes(
    encoded: tf.Tensor, pixels: tf.Tensor, copies: int, seed: int
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Draws by the image's own bytes: [n, copies, DRAWS] and, per copy, noise of [n, s, s, 1]."""
    hashes = tf.strings.to_hash_bucket_fast(encoded, 2**31 - 1)
    draws = tf.map_fn(
        lambda own: tf.random.stateless_uniform([copies, DRAWS], [seed, own], -1, 1),
        hashes,
        fn_output_signature=tf.TensorSpec([copies, DRAWS]),
    )
    first = tf.reduce_sum(hashes[:1])
    noise = [
        tf.random.stateless_normal(tf.shape(pixels), [seed + 1 + copy, first])
        for copy in range(copies)
    ]
    return draws, noise


def decode_pixels(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes one image to grey and resizes it.

    Args:
        encoded: JPEG or PNG, a scalar string.
        size: Pixels on each side of the result.

    Returns:
        float32 in 0..255, of shape [size, size, 1].
    """
    image = decoder.decode_grey(encoded)
    fits = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    # Without antialiasing, an X-ray of 2,000 pixels is sampled at every tenth.
    image = tf.cond(
        fits,
        lambda: tf.cast(image, tf.float32),
        lambda: tf.image.resize(image, [size, size], antialias=True),
    )
    return tf.ensure_shape(image, [size, size, 1])

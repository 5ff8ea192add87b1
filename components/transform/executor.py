"""Transform: TFX's, which makes the graph; the examples are written in buckets, see `buckets`."""

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tfx import types
from tfx.components import Transform as TfxTransform
from tfx.components.transform import executor, executor_utils
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils
from tfx_bsl.public.tfxio import TFExampleRecord

from tfxray.components.transform.buckets import WriteBuckets, count_buckets


class Executor(executor.Executor):  # type: ignore[misc]
    """See the module."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See TFX's `Executor`. Of Examples, it takes one artifact, of tf.train.Example."""
        outputs = dict(output_dict)
        (written,) = outputs.pop(standard_component_specs.TRANSFORMED_EXAMPLES_KEY)
        # Asked for no examples, TFX only traces the user function: nothing in it needs the data.
        super().Do(input_dict, outputs, exec_properties)
        graph = artifact_utils.get_single_uri(
            output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY]
        )
        read = input_dict[standard_component_specs.EXAMPLES_KEY]
        config = exec_properties.get(standard_component_specs.SPLITS_CONFIG_KEY)
        splits = list(executor_utils.ResolveSplitsConfig(config, read).transform)
        written.split_names = artifact_utils.encode_split_names(splits)
        schema = tft.TFTransformOutput(graph).raw_metadata.schema
        with self._make_beam_pipeline() as pipeline:
            transform_fn = pipeline | "Graph" >> tft_beam.ReadTransformFn(graph)
            for split in splits:
                files = io_utils.all_files_pattern(artifact_utils.get_split_uri(read, split))
                source = TFExampleRecord(files, schema=schema, telemetry_descriptors=["Transform"])
                records = pipeline | f"Read[{split}]" >> source.BeamSource()
                batches, metadata = (
                    (records, source.TensorAdapterConfig()),
                    transform_fn,
                ) | f"Transform[{split}]" >> tft_beam.TransformDataset(output_record_batches=True)
                sizes = (tf.io.gfile.stat(file).length for file in tf.io.gfile.glob(files))
                batches | f"Write[{split}]" >> WriteBuckets(
                    artifact_utils.get_split_uri([written], split),
                    count_buckets(sum(sizes)),
                    metadata.schema,
                )


class Transform(TfxTransform):  # type: ignore[misc]
    """TFX's component, with this executor."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

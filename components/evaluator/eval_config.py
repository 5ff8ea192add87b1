"""The metrics of Evaluator, slice by slice, and the threshold of the blessing."""

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import BoolValue, DoubleValue
from tensorflow_model_analysis.proto import config_pb2  # not all of it is in `tfma` of any version

from tfxray.components.common import contract

AUC = "auc"
# With 1,000, the area differs from the exact one by less than 1e-3 (tests/test_end_to_end.py);
# with 10,000, TFMA's jackknife takes twice as long as all else that Evaluator does.
AUC_THRESHOLDS = 1_000


def make_eval_config(
    slices: Sequence[str | Sequence[str]], threshold: float, intervals: bool = True
) -> config_pb2.EvalConfig:
    """TFMA's configuration.

    The threshold applies to the whole test split alone. Applied to every slice, it
    would refuse any model for a slice that holds one class, whose AUC TFMA gives as 0.

    Args:
        slices: Feature names; a sequence within crosses features.
        threshold: Least AUC.
        intervals: Whether to compute jackknife confidence intervals.

    Returns:
        The configuration. Of the served score: `auc`, `prauc`, `cross_entropy`, `example_count`,
        `mean_label` and `mean_prediction`. At the model's own operating point:
        `accuracy`, `sensitivity`, `specificity`, `precision`, `npv`, `true_positives` and the
        other three counts. The last class is the positive one.
    """
    score_metrics = [
        tfma.metrics.ExampleCount(name="example_count"),
        tfma.metrics.AUC(name=AUC, num_thresholds=AUC_THRESHOLDS),
        tfma.metrics.AUC(name="prauc", curve="PR", num_thresholds=AUC_THRESHOLDS),
        tfma.metrics.BinaryCrossEntropy(name="cross_entropy"),
        tfma.metrics.MeanLabel(name="mean_label"),
        tfma.metrics.MeanPrediction(name="mean_prediction"),
    ]
    # The model says itself who is positive, by the threshold chosen on validation.
    operating_point_metrics = [
        tfma.metrics.BinaryAccuracy(name="accuracy"),
        tfma.metrics.Recall(name="sensitivity", thresholds=0.5),
        tfma.metrics.Specificity(name="specificity", thresholds=0.5),
        tfma.metrics.Precision(name="precision", thresholds=0.5),
        tfma.metrics.NPV(name="npv", thresholds=0.5),
        tfma.metrics.TruePositives(name="true_positives", thresholds=[0.5]),
        tfma.metrics.FalsePositives(name="false_positives", thresholds=[0.5]),
        tfma.metrics.TrueNegatives(name="true_negatives", thresholds=[0.5]),
        tfma.metrics.FalseNegatives(name="false_negatives", thresholds=[0.5]),
    ]
    specs = [
        *tfma.metrics.specs_from_metrics(score_metrics, output_names=[contract.SCORE]),
        *tfma.metrics.specs_from_metrics(operating_point_metrics, output_names=[contract.POSITIVE]),
    ]
    bar = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound=DoubleValue(value=threshold))
    )
    for metric in (metric for spec in specs for metric in spec.metrics):
        if json.loads(metric.config)["name"] == AUC:
            metric.per_slice_thresholds.append(
                config_pb2.PerSliceMetricThreshold(
                    slicing_specs=[config_pb2.SlicingSpec()], threshold=bar
                )
            )
    features = [[item] if isinstance(item, str) else list(item) for item in slices]
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name=contract.SIGNATURE_EXAMPLES,
                label_keys=dict.fromkeys((contract.SCORE, contract.POSITIVE), contract.LABEL),
            )
        ],
        metrics_specs=specs,
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=keys) for keys in features),
        ],
        options=config_pb2.Options(
            compute_confidence_intervals=BoolValue(value=intervals),
            confidence_intervals=config_pb2.ConfidenceIntervalOptions(
                method=config_pb2.ConfidenceIntervalOptions.JACKKNIFE
            ),
        ),
    )

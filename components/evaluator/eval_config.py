"""The metrics of Evaluator, slice by slice, and the threshold of the blessing."""

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import BoolValue, DoubleValue
from tensorflow_model_analysis.proto import config_pb2  # not all of it is in `tfma` of any version

from tfxray.components.common import contract
from tfxray.components.common.contract import Task
from tfxray.components.evaluator import heldout_scores

AUC, MEAN_AUC, _COUNT = "auc", "mean_auc", "example_count"
# With 1,000, the area differs from the exact one by some 1e-3, and of a small slice by more: the
# gate and the page take the exact one. With 10,000, TFMA's jackknife takes twice as long as all
# else that Evaluator does.
AUC_THRESHOLDS = 1_000


def make_eval_config(
    task: Task, slices: Sequence[str | Sequence[str]], threshold: float, intervals: bool = True
) -> config_pb2.EvalConfig:
    """TFMA's configuration.

    The threshold applies to the whole test split alone. Applied to every slice, it
    would refuse any model for a slice that holds one class, whose AUC TFMA gives as 0. Of several
    classes or findings, TFMA's mean AUC counts such a 0 even in the whole split: there, the gate's
    own rule looks at the mean, and TFMA's threshold is one that always holds.

    Args:
        task: What is asked.
        slices: Feature names; a sequence within crosses features.
        threshold: Least AUC.
        intervals: Whether to compute jackknife confidence intervals.

    Returns:
        The configuration. Of the served score: `auc`, `prauc` and, of two classes,
        `example_count`, `cross_entropy`, `mean_label` and `mean_prediction`. At the model's own
        operating point: `accuracy`, `sensitivity`, `specificity`, `precision`, `npv`,
        `true_positives` and the other three counts. Of two classes, the last one is the positive
        one; of more, and of findings, each is an output, `example_count` is that of the first, and
        `mean_auc` is TFMA's macro average.
    """
    score_metrics = [
        tfma.metrics.AUC(name=AUC, num_thresholds=AUC_THRESHOLDS),
        tfma.metrics.AUC(name="prauc", curve="PR", num_thresholds=AUC_THRESHOLDS),
    ]
    if task.binary:  # they ask for one image at a time, and `extractors` gives many at once
        score_metrics += [
            tfma.metrics.ExampleCount(name=_COUNT),
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
    outputs = [heldout_scores.score_column(task, name) for name in task.judged]
    calls = [heldout_scores.positive_output(task, name) for name in task.judged]
    specs = [
        *tfma.metrics.specs_from_metrics(score_metrics, output_names=outputs),
        *tfma.metrics.specs_from_metrics(operating_point_metrics, output_names=calls),
    ]
    if not task.binary:
        specs += tfma.metrics.specs_from_metrics(
            [tfma.metrics.ExampleCount(name=_COUNT)], output_names=outputs[:1]
        )
        specs += tfma.metrics.specs_from_metrics(
            [tfma.metrics.AUC(name=MEAN_AUC, num_thresholds=AUC_THRESHOLDS)],
            output_names=outputs,
            output_weights=dict.fromkeys(outputs, 1 / len(outputs)),
        )
    bounded, least = (AUC, threshold) if task.binary else (_COUNT, 0.0)
    bar = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound=DoubleValue(value=least))
    )
    for metric in (metric for spec in specs for metric in spec.metrics):
        if json.loads(metric.config)["name"] == bounded:
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
                label_keys=dict.fromkeys([*outputs, *calls], contract.LABEL),
                # `extractors` gives the weights; TFMA wants a feature to be named.
                example_weight_keys={}
                if task.binary
                else dict.fromkeys([*outputs, *calls], contract.IMAGE),
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

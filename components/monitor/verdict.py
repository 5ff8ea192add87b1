"""What scored images say of a model that is served: drift, and its AUC beside the gate's."""

import bisect
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow_data_validation as tfdv
from scipy import stats
from tensorflow_metadata.proto.v0 import statistics_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics

from tfxray.components.common import filenames
from tfxray.components.common.contract import Task
from tfxray.components.common.errors import UserError
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.monitor import estimate
from tfxray.components.monitor.estimate import Expected
from tfxray.components.monitor.labels import Labelled
from tfxray.components.validation import drift
from tfxray.components.watch import feature_statistics, file_keys
from tfxray.components.watch.reference import HeldOut, Reference
from tfxray.components.watch.score_histogram import ScoreHistogram, largest_gap
from tfxray.components.watch.scored import Scored

ALL_RIGHT, DRIFTED, BELOW = "all_right", "drifted", "below_gate"
TOO_FEW = "too_few"
SCORE, UNLIKE = "score", "unlike"
# What scores and the share unlike may differ by in samples without end, as the config's
# `validation.drift` says it of features; and how often chance alone may go further. That is one
# month in 1,000, for all scores together and for the share; benchmarks/MONITOR.md has the alarms.
_SCORE_SHIFT, _UNLIKE_MORE = 0.05, 0.02
_CHANCE = 0.001
# No measure can be more: divergences are in bits, all others are shares. A limit from here on up
# cannot be broken, and so tells nothing.
_GREATEST = 1.0
_MOST = 10_000  # patients or images up to which a limit is looked for that can be broken


@dataclasses.dataclass(frozen=True)
class Measure:
    """One measure of drift.

    Attributes:
        name: A feature of the data contract; `score`, of several with a name behind it; `unlike`.
        value: What was measured.
        limit: The most that it may be.
        text: All of it in words.
        needed: The images from which on the limit can be broken; None where it can be now, and
            where the model's own run had too few patients for any number of them.
    """

    name: str
    value: float
    limit: float
    text: str
    needed: int | None

    @property
    def judged(self) -> bool:
        """Whether the limit can be broken at all."""
        return self.limit < _GREATEST

    @property
    def drifted(self) -> bool:
        """Whether it is more than it may be."""
        return self.value > self.limit


@dataclasses.dataclass(frozen=True)
class Month:
    """One scored folder: a month, a week, whatever its user takes together.

    Attributes:
        name: The folder's.
        images: Scored or withheld.
        patients: None where the images do not tell.
        measures: Furthest beyond its limit first.
        unknown: Features that the training data tell and these images do not.
        expected: By class or finding; see `estimate.expect_labels`.
        estimated: The AUC without labels; the mean of several. None where too few of a class are
            expected.
        labelled: What labels say, where there are any.
        status: `all_right`, `drifted`, `below_gate` or `too_few`.
        reason: Why it is not all right; empty where it is.
    """

    name: str
    images: int
    patients: int | None
    measures: Sequence[Measure]
    unknown: Sequence[str]
    expected: Mapping[str, Expected]
    estimated: Estimate | None
    labelled: Labelled | None
    status: str
    reason: str

    @property
    def auc(self) -> Estimate | None:
        """What is compared with the gate: by labels where there are any, else without."""
        return self.labelled.auc if self.labelled else self.estimated


def judge_month(
    name: str, scored: Scored, reference: Reference, labelled: Labelled | None = None
) -> Month:
    """Compares what was scored with what the model's own run knew.

    Args:
        name: Of the folder.
        scored: What scoring left there.
        reference: What goes with the model.
        labelled: What labels say of these images.
    """
    heldout_images = max(1.0, reference.heldout_images / max(1, reference.heldout_patients))
    patients = scored.patients or max(1, round(scored.images / heldout_images))
    images = scored.images / scored.patients if scored.patients else None
    each = images or heldout_images
    measures = [
        *_features(scored.statistics, patients, each, reference),
        *_scores(scored, heldout_images, images, reference),
        *_unlike(scored, patients, each, reference),
    ]
    expected = estimate.expect_all(
        scored.scores,
        reference.heldout,
        heldout_images,
        images,
    )
    month = Month(
        name=name,
        images=scored.images,
        patients=scored.patients,
        measures=sorted(measures, key=lambda m: m.limit - m.value),
        unknown=_unknown(scored.statistics, reference),
        expected=expected,
        estimated=estimate.estimate_mean(list(expected.values())),
        labelled=labelled,
        status=ALL_RIGHT,
        reason="",
    )
    return _with_status(month, reference.threshold)


def _with_status(month: Month, threshold: float) -> Month:
    drifted = [measure.text for measure in month.measures if measure.drifted]
    # Chance is no reason: the interval as a whole must lie below.
    below = month.auc is not None and month.auc.high < threshold
    reasons = []
    if below and month.auc:
        known = "AUC by labels" if month.labelled else "AUC estimated without labels"
        reasons.append(
            f"{known} {month.auc.value:.3f} [{month.auc.low:.3f}, {month.auc.high:.3f}], and the "
            f"gate asks for {threshold:g}"
        )
    if drifted:
        reasons.append(f"drift from the training data: {'; '.join(drifted)}")
    status = BELOW if below else DRIFTED if drifted else ALL_RIGHT
    if status == ALL_RIGHT and (few := _too_few(month)):
        status, reasons = TOO_FEW, [few]
    return dataclasses.replace(month, status=status, reason="; ".join(reasons))


def _too_few(month: Month) -> str:
    """What so few images cannot tell, and how many could; empty where they tell all."""
    if not month.measures:
        return f"nothing of these {month.images} images can be compared with the model's own run"
    unjudged = [measure for measure in month.measures if not measure.judged]
    needed = [measure.needed for measure in unjudged if measure.needed]
    # What no number of images could tell is no fault of these; unless nothing else is told either.
    if not needed and len(unjudged) < len(month.measures):
        return ""
    names = ", ".join(sorted(measure.name for measure in unjudged))
    why = (
        f"at least {max(needed)} are needed" if needed
        else "the model's own run had too few patients"
    )  # fmt: skip
    return f"{month.images} cannot tell whether {names} drifted; {why}"


def _find_needed(limit_of: Callable[[int], float], size: int) -> int | None:
    """The least size, above one, whose limit can be broken; None where it can be, or never can."""
    high = max(1, size)
    while limit_of(high) >= _GREATEST:
        if high >= _MOST:
            return None
        size, high = high, min(2 * high, _MOST)
    if high <= size:
        return None
    return bisect.bisect_left(range(high), True, lo=size, key=lambda n: limit_of(n) < _GREATEST)


def _features(
    statistics: DatasetFeatureStatistics, patients: int, images: float, reference: Reference
) -> Iterator[Measure]:
    """The features' drift, by TFDV, with DataGate's limits."""
    thresholds = {
        name: most for name, most in reference.drift.items() if name in _known(statistics)
    }
    for name in drift.find_other_bins(statistics, reference.statistics):
        raise UserError(
            f"{name}: its histogram has another number of bins than the training data's; score the "
            "images by the version of tfxray that trained the model, or train anew"
        )
    for each in drift.list_drifts(
        _compare(statistics, reference.statistics), thresholds, patients, reference.patients
    ):
        limit_of = functools.partial(
            drift.limit,
            each.feature,
            thresholds[each.feature],
            baseline_patients=reference.patients,
        )
        least = _as_images(_find_needed(limit_of, patients), images)
        yield Measure(each.feature, each.value, each.limit, str(each), least)


def _as_images(patients: int | None, images: float) -> int | None:
    """As many images as these patients have.

    Args:
        patients: How many.
        images: Of each.
    """
    return patients and math.ceil(patients * images)


def _compare(statistics: DatasetFeatureStatistics, training: DatasetFeatureStatistics) -> object:
    """What TFX's DistributionValidator would measure between the two."""
    current, baseline = (
        statistics_pb2.DatasetFeatureStatisticsList(datasets=[each])
        for each in (statistics, training)
    )
    schema = tfdv.infer_schema(baseline)
    names = _known(statistics) & _known(training)
    config = drift.validator_config(dict.fromkeys(names, 0.0))
    for feature in config.default_slice_config.feature:
        comparator = tfdv.get_feature(schema, feature.path.step[0]).drift_comparator
        comparator.CopyFrom(feature.distribution_comparator)
    return tfdv.validate_statistics(current, schema, previous_statistics=baseline)


def _known(statistics: DatasetFeatureStatistics) -> set[str]:
    return {feature_statistics.feature_name(feature) for feature in statistics.features}


def _unknown(statistics: DatasetFeatureStatistics, reference: Reference) -> list[str]:
    compared = _known(reference.statistics) & set(reference.drift)
    return sorted(compared - _known(statistics))


def _scores(
    scored: Scored, heldout_images: float, images: float | None, reference: Reference
) -> Iterator[Measure]:
    """The largest gap between the shares below a score (Kolmogorov, Smirnov).

    Of images of one patient, as many count as they are worth, by the design effect.
    """
    factor = -math.log(_CHANCE / len(reference.heldout) / 2) / 2
    for name, heldout in reference.heldout.items():
        if not scored.scores[name].total or not heldout.scores.total:
            continue
        own = heldout.score_clustering
        here = estimate.scale_clustering(own, heldout_images, images)
        total = scored.scores[name].total
        limit_of = functools.partial(_score_limit, factor, here, own / heldout.scores.total)
        limit = limit_of(total)
        value = largest_gap(scored.scores[name], heldout.scores)
        label = SCORE if reference.task.binary else f"{SCORE} {name}"
        text = f"shares below a score lie {value:.3f} apart, at most {limit:.3f}"
        if value > limit:
            text += _as_prevalence(scored.scores[name], heldout, limit - _SCORE_SHIFT)
        least = _find_needed(limit_of, total)
        yield Measure(label, value, limit, f"{label} ({text})", least)


def _score_limit(factor: float, here: float, there: float, images: int) -> float:
    """The largest gap that so many images may have; `there` is the held-out images' own noise."""
    return _SCORE_SHIFT + math.sqrt(factor * (here / images + there))


def _as_prevalence(scores: ScoreHistogram, heldout: HeldOut, chance: float) -> str:
    """Another share of positive images, where that alone would make such scores."""
    fit = estimate.fit_prevalence(scores, heldout)
    if fit is None or fit[1] > chance:
        return ""
    before = heldout.positives.total / heldout.scores.total
    return f", as if {fit[0]:.0%} of the images were positive and not {before:.0%}"


def _unlike(
    scored: Scored, patients: int, images: float, reference: Reference
) -> Iterator[Measure]:
    """The share unlike the training data, beside what the held-out split has of it."""
    if scored.unlike is None or not scored.images:
        return
    value = scored.unlike / scored.images
    heldout = reference.heldout_unlike / max(1, reference.heldout_images)
    # What to expect of so many patients, after so many held-out ones: beta-binomial, with
    # Jeffreys' prior. Images of one patient count as one.
    known = heldout * reference.heldout_patients

    def limit_of(n: int) -> float:
        expected = stats.betabinom(n, known + 0.5, reference.heldout_patients - known + 0.5)
        return float(expected.ppf(1 - _CHANCE)) / n + _UNLIKE_MORE

    limit = limit_of(patients)
    text = (
        f"{UNLIKE} ({value:.1%} of the images are unlike the training data, {heldout:.1%} of the "
        f"held-out ones; at most {limit:.1%})"
    )
    least = _as_images(_find_needed(limit_of, patients), images)
    yield Measure(UNLIKE, value, limit, text, least)


def check_model(folder: str, scored: Scored, fingerprint: str, model: str, task: Task) -> None:
    """Sees that images were scored by this model.

    Args:
        folder: Where they were scored.
        scored: What scoring left there.
        fingerprint: Of the model.
        model: Its folder.
        task: What it is asked.

    Raises:
        UserError: Another one scored them, or none is left to compare.
    """
    if scored.model != fingerprint:
        raise UserError(
            f"{folder}: was scored by another model than {model}. Give the model that scored it "
            "(--model), or score the images again by this one (tfxray predict --input)"
        )
    try:
        file_keys.require_names("scores", list(scored.scores), task.judged)
    except ValueError as error:
        path = os.path.join(folder, filenames.SCORED_STATISTICS)
        raise UserError(f"{path}: cannot be read: {error}; score the folder again") from None
    if not scored.images:
        raise UserError(f"{folder}: no image was scored there; see its rejects.csv (--scored)")


def name_months(folders: Sequence[str]) -> list[str]:
    """What scored folders are called on the page: by so much of their paths as parts them.

    Args:
        folders: Their paths.
    """
    parts = [[part for part in folder.split("/") if part] or [folder] for folder in folders]
    deepest = max(map(len, parts), default=1)
    for depth in range(1, deepest + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len({tuple(part) for part in parts}):
            break
    return names

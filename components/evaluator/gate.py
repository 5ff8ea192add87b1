"""The gate: all rules with their verdicts, those that need the latest blessed model among them.

A model is pushed if no rule fails.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import contract
from tfxray.components.evaluator import heldout_scores, rules
from tfxray.components.evaluator.rules import Rule, ServingCheck
from tfxray.components.metrics import intervals
from tfxray.components.metrics.intervals import Estimate
from tfxray.components.predict.pushed_model import Served

FILE = "gate.json"


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The latest blessed model, and how it scores the same images.

    Attributes:
        state: `none`, `compared` or `incompatible`.
        text: Why it could not be compared, where it could not.
        scores: By an image's digest.
        classes: Its own, in the order of their labels; empty where they are unknown.
        heldout: The held-out scores of its own run; None where they are not at hand.
        refuses: Whether the model may not be pushed without a comparison.
    """

    state: str = "none"
    text: str = "no model has been blessed before"
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    classes: Sequence[str] = ()
    heldout: pd.DataFrame | None = None
    refuses: bool = False

    def in_order_of(self, classes: Sequence[str]) -> "Baseline":
        """The same model, as if its classes had this order."""
        if list(self.classes) != [*reversed(classes)]:
            return self
        heldout = self.heldout
        if heldout is not None:
            flipped = {name: 1 - heldout[name] for name in (contract.LABEL, contract.SCORE)}
            heldout = heldout.assign(**flipped)
        scores = {digest: 1 - score for digest, score in self.scores.items()}
        return dataclasses.replace(self, scores=scores, classes=classes, heldout=heldout)


def apply_rules(
    frame: pd.DataFrame,
    settings: Mapping[str, Any],
    baseline: Baseline,
    served: Served,
    check: ServingCheck | None,
) -> list[Rule]:
    """Applies every rule.

    Args:
        frame: The held-out scores, see `heldout_scores.read_scores`.
        settings: `gate`, `classes` (the config's), `slices` and `min_patients` (of its `evaluate`).
        baseline: The latest blessed model.
        served: The version whose place the candidate would take.
        check: None where the config does not ask.

    Returns:
        The rules; the model may be pushed where none has failed.
    """
    gate = settings["gate"]
    baseline = baseline.in_order_of(settings["classes"])
    verdicts = [
        *rules.judge_candidate(frame, settings, check),
        _classes(served, settings["classes"], gate["replaces_classes"]),
    ]
    if gate["label_shift"]["max_relabelled"] is not None:
        verdicts.append(_relabelled(frame, baseline, gate["label_shift"]["max_relabelled"]))
    if gate["label_shift"]["max_drop"] is not None:
        verdicts += _label_shift(frame, baseline, settings)
    return [*verdicts, _against(frame, baseline, gate["auc"])]


def write_verdicts(verdicts: list[Rule], baseline: Baseline, folder: str) -> None:
    """Writes the rules and their verdicts; see `read_verdicts`."""
    content = {
        "rules": [dataclasses.asdict(rule) for rule in verdicts],
        "baseline": {"state": baseline.state, "text": baseline.text},
    }
    io_utils.write_string_file(os.path.join(folder, FILE), json.dumps(content, indent=1))


def read_verdicts(folder: str) -> dict[str, Any]:
    """Reads `rules` and `baseline`; empty where no gate was applied."""
    path = os.path.join(folder, FILE)
    if not fileio.exists(path):
        return {}
    content: dict[str, Any] = json.loads(io_utils.read_string_file(path))
    return content


def changed_classes(served: Served, classes: Sequence[str], replaces: Sequence[str] | None) -> str:
    """Why a model of these classes must not take the place of the served one; empty if it may.

    Args:
        served: The newest version.
        classes: The config's.
        replaces: The config's `gate.replaces_classes`: the served classes that may be replaced.
    """
    if not served.classes or list(served.classes) in (list(classes), replaces and list(replaces)):
        return ""
    new, old = (json.dumps(list(names), ensure_ascii=False) for names in (classes, served.classes))
    return (
        f"classes {new} would take the place of {old}, which {served.version} serves: clients "
        "would read the scores wrongly. Restore the names and their order, give the new model "
        f"another serving.model_name, or set gate.replaces_classes to {old} if this is meant"
    )


def _classes(served: Served, classes: Sequence[str], replaces: Sequence[str] | None) -> Rule:
    failure = changed_classes(served, classes, replaces)
    passed = None if not served.classes else not failure
    if not served.version:
        text = "no version is served under this name yet"
    elif not served.classes:
        text = f"the classes of {served.version} cannot be read"
    elif list(served.classes) == list(classes):
        text = f"the classes and their order are those that {served.version} serves"
    else:
        text = f"the classes differ from those that {served.version} serves, as the config accepts"
    return Rule("classes", "all", None, None, None, None, passed, failure or text)


def _relabelled(frame: pd.DataFrame, baseline: Baseline, limit: float) -> Rule:
    """Compares labels image by image: whatever the model, an image has one label."""
    if baseline.heldout is None:
        return Rule("relabelled", "all", None, None, None, limit, None, _no_heldout(baseline))
    columns = [heldout_scores.DIGEST, contract.LABEL]
    before, now = (
        table[columns].drop_duplicates(heldout_scores.DIGEST) for table in (baseline.heldout, frame)
    )
    both = now.merge(before, on=heldout_scores.DIGEST, suffixes=("", " before"))
    if both.empty:
        text = "no held-out image is known from the latest blessed run"
        return Rule("relabelled", "all", None, None, None, limit, None, text)
    count = int((both[contract.LABEL] != both[f"{contract.LABEL} before"]).sum())
    share = count / len(both)
    text = f"{count} of {len(both)} held-out images known to the latest blessed run have another "
    text += f"label now; at most {limit:.3g} of them may"
    if share > limit:
        text += ". If they are right, set gate.label_shift.max_relabelled to null for one run"
    return Rule("relabelled", "all", share, None, None, limit, share <= limit, text)


def _label_shift(
    frame: pd.DataFrame, baseline: Baseline, settings: Mapping[str, Any]
) -> Iterator[Rule]:
    """Judges the labels by the blessed model: how does it do on them, and how on those of its day?

    The whole split has a rule in any case, a slice only where it fails.
    """
    limit = settings["gate"]["label_shift"]["max_drop"]
    if baseline.heldout is None or baseline.state != "compared":
        text = baseline.text if baseline.state != "compared" else _no_heldout(baseline)
        yield Rule("label_shift", "all", None, None, None, -limit, None, text)
        return
    now = _scored_by(baseline, frame)
    whole = _compare_labels("all", now, baseline.heldout, limit)
    masks = [heldout_scores.mask_slices(t, settings["slices"]) for t in (now, baseline.heldout)]
    slices = []
    for name in masks[0].keys() & masks[1].keys():
        parts = (now[masks[0][name]], baseline.heldout[masks[1][name]])
        if all(_patients_of_rarer_class(part) >= settings["min_patients"] for part in parts):
            slices.append(_compare_labels(name, *parts, limit))
    if slices:
        text = f"{whole.text}. {len(slices)} slices were looked at likewise"
        whole = dataclasses.replace(whole, text=text)
    yield whole
    yield from sorted((r for r in slices if not r.passed), key=lambda rule: rule.slice)


def _scored_by(baseline: Baseline, frame: pd.DataFrame) -> pd.DataFrame:
    """The images that the blessed model scored, with its scores in place of the candidate's."""
    known = frame[frame[heldout_scores.DIGEST].isin(list(baseline.scores))]
    scores = known[heldout_scores.DIGEST].map(baseline.scores).astype(float)
    return known.assign(**{contract.SCORE: scores})


def _patients_of_rarer_class(part: pd.DataFrame) -> int:
    return min(part[part[contract.LABEL] == c][contract.PATIENT].nunique() for c in (0, 1))


def _compare_labels(name: str, now: pd.DataFrame, before: pd.DataFrame, limit: float) -> Rule:
    auc_now, auc_before = _auc(now), _auc(before)
    if auc_now is None or auc_before is None:
        text = "the latest blessed model's AUC cannot be compared: a test split holds one class"
        return Rule("label_shift", name, None, None, None, -limit, None, text)
    change = intervals.difference(auc_now, auc_before)
    # By the interval's end: the two splits hold other patients, and chance moves both AUCs.
    passed = bool(change.high >= -limit)
    where = "" if name == "all" else f"{name}: "
    text = (
        f"{where}the latest blessed model has AUC {auc_now.value:.4f} here and had "
        f"{auc_before.value:.4f} in its own run, a change of {_signed(change)}; at most {limit:g} "
        "lower is allowed, by the upper end"
    )
    if not passed:
        text += ". Labels turned, or it does worse on these patients"
        if auc_now.high < 0.5:
            text += "; it ranks the classes as if they had been swapped"
        text += ". If the labels are right, set gate.label_shift.max_drop to null for one run"
    value, low, high = dataclasses.astuple(change)
    return Rule("label_shift", name, value, low, high, -limit, passed, text)


def _auc(table: pd.DataFrame) -> Estimate | None:
    columns = (contract.LABEL, contract.SCORE, contract.PATIENT)
    return intervals.auc(*(table[column].to_numpy() for column in columns))


def _signed(change: Estimate) -> str:
    return f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"


def _no_heldout(baseline: Baseline) -> str:
    if baseline.state == "none":
        return baseline.text
    return "the held-out scores of the latest blessed run are not at hand"


def _against(frame: pd.DataFrame, baseline: Baseline, gate: Mapping[str, Any]) -> Rule:
    limit, bound = gate["max_drop"], gate["drop_bound"]
    if baseline.refuses or baseline.state != "compared":
        passed = False if baseline.refuses else None
        return Rule("baseline", "all", None, None, None, -limit, passed, baseline.text)
    both = frame[frame[heldout_scores.DIGEST].isin(list(baseline.scores))]
    baseline_scores = both[heldout_scores.DIGEST].map(baseline.scores).to_numpy(float)
    labels, scores = both[contract.LABEL].to_numpy(), both[contract.SCORE].to_numpy()
    change = intervals.auc_difference(
        labels, scores, baseline_scores, both[contract.PATIENT].to_numpy()
    )
    if change is None:
        text = "the latest blessed model cannot be compared: the test split holds one class"
        return Rule("baseline", "all", None, None, None, -limit, None, text)
    text = f"AUC differs by {_signed(change)} from the latest blessed model's on the same images; "
    # A figure that is no number reaches nothing, and fails.
    if bound == "significant":
        passed = bool(change.value >= -limit or change.high >= 0)
        text += f"more than {limit:g} lower is refused if all of the interval lies below 0, too"
    else:
        decides = {"value": change.value, "lower": change.low, "upper": change.high}
        passed = bool(decides[bound] >= -limit)
        words = {"value": "value", "lower": "lower end", "upper": "upper end"}
        text += f"at most {limit:g} lower is allowed, by the {words[bound]}"
    value, low, high = dataclasses.astuple(change)
    return Rule("baseline", "all", value, low, high, -limit, passed, text)

"""The gate: all rules with their verdicts, those that need the latest blessed model among them.

A model is pushed if no rule fails.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from tfx.dsl.io import fileio
from tfx.utils import io_utils

from tfxray.components.common import contract
from tfxray.components.common.contract import UNKNOWN, Task
from tfxray.components.evaluator import external_rules, heldout_scores, rules
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
        scores: A row per image, by its digest, with its own task's `score_column`s; None where it
            scored nothing.
        classes: Its own, or its findings, in the order of their labels; empty where unknown.
        heldout: The held-out scores of its own run; None where they are not at hand.
        refuses: Whether the model may not be pushed without a comparison.
    """

    state: str = "none"
    text: str = "no other model has been blessed: nothing to compare with"
    scores: pd.DataFrame | None = None
    classes: Sequence[str] = ()
    heldout: pd.DataFrame | None = None
    refuses: bool = False

    def in_order_of(self, task: Task) -> "Baseline":
        """The same model, as if its classes had the task's order; or what it cannot answer."""
        if self.scores is None:
            return self
        own = list(self.classes)
        columns = {heldout_scores.score_column(task, name) for name in task.judged}
        if columns <= set(self.scores):
            if own in ([], list(task.names)):
                return self
            if task.binary and own == [*reversed(task.names)]:
                return self._turned(task)
            if task.binary:
                return self  # renamed, which another rule judges
            if sorted(own) == sorted(task.names):
                return dataclasses.replace(self, classes=task.names)
        text = f"the latest blessed model tells [{', '.join(own)}] and cannot be compared"
        return dataclasses.replace(self, state="incompatible", text=text, scores=None, heldout=None)

    def _turned(self, task: Task) -> "Baseline":
        """The same model with its two classes in the other order."""
        assert self.scores is not None
        heldout = self.heldout
        if heldout is not None:
            turned = {name: 1 - heldout[name] for name in (contract.LABEL, contract.SCORE)}
            heldout = heldout.assign(**turned)
        return dataclasses.replace(
            self, scores=1 - self.scores, classes=task.names, heldout=heldout
        )


def apply_rules(
    frame: pd.DataFrame,
    settings: Mapping[str, Any],
    baseline: Baseline,
    served: Served,
    check: ServingCheck | None,
    external: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> list[Rule]:
    """Applies every rule.

    Args:
        frame: The held-out scores, see `heldout_scores.read_scores`.
        settings: `gate`, `classes` or `findings` (the config's), `slices` and `min_patients` (of
            its `evaluate`).
        baseline: The latest blessed model.
        served: The version whose place the candidate would take.
        check: None where the config does not ask.
        external: The scores of external test sets; see `external_rules.judge_external`.

    Returns:
        The rules; the model may be pushed where none has failed.
    """
    gate, task = settings["gate"], Task.of(settings)
    baseline = baseline.in_order_of(task)
    verdicts = [
        *rules.judge_candidate(frame, settings, check),
        *external_rules.judge_external(external, frame, settings),
        _classes(served, task, gate["replaces_classes"]),
    ]
    if gate["label_shift"]["max_relabelled"] is not None:
        verdicts.append(_relabelled(frame, baseline, task, gate["label_shift"]["max_relabelled"]))
    if gate["label_shift"]["max_drop"] is not None:
        verdicts += _label_shift(frame, baseline, settings)
    verdicts.append(_against(frame, baseline, task, gate["auc"]))
    if not task.binary and baseline.state == "compared":
        for name in task.judged:
            verdicts += _against_of_one(frame, baseline, task, name, gate["auc"]["max_drop"])
    return verdicts


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


def changed_classes(served: Served, task: Task, replaces: Sequence[str] | None) -> str:
    """Why a model of this task must not take the place of the served one; empty if it may.

    Args:
        served: The newest version.
        task: The config's.
        replaces: The config's `gate.replaces_classes`: the served classes that may be replaced.
    """
    own = list(served.classes)
    if not own or (replaces and own == list(replaces)) or _serves(served, task):
        return ""
    new, old = (json.dumps(list(names), ensure_ascii=False) for names in (task.names, own))
    new, old_told = (
        f"{'classes' if exclusive else 'findings'} {names}"
        for exclusive, names in ((task.exclusive, new), (served.exclusive, old))
    )
    return (
        f"{new} would take the place of {old_told}, which {served.version} serves: clients "
        "would read the scores wrongly. Restore the names and their order, give the new model "
        f"another serving.model_name, or set gate.replaces_classes to {old} if this is meant"
    )


def _serves(served: Served, task: Task) -> bool:
    return list(served.classes) == list(task.names) and served.exclusive == task.exclusive


def _classes(served: Served, task: Task, replaces: Sequence[str] | None) -> Rule:
    failure = changed_classes(served, task, replaces)
    passed = None if not served.classes else not failure
    if not served.version:
        text = "no version is served under this name yet"
    elif not served.classes:
        text = f"the classes of {served.version} cannot be read"
    elif _serves(served, task):
        text = f"the classes and their order are those that {served.version} serves"
    else:
        text = f"the classes differ from those that {served.version} serves, as the config accepts"
    return Rule("classes", "all", None, None, None, None, passed, failure or text)


def _relabelled(frame: pd.DataFrame, baseline: Baseline, task: Task, limit: float) -> Rule:
    """Compares labels image by image: whatever the model, an image has one label."""
    if baseline.heldout is None:
        return Rule("relabelled", "all", None, None, None, limit, None, _no_heldout(baseline))
    labels = [heldout_scores.label_column(task, name) for name in task.judged]
    before, now = (
        table[[heldout_scores.DIGEST, *labels]].drop_duplicates(heldout_scores.DIGEST)
        for table in (baseline.heldout, frame)
    )
    both = now.merge(before, on=heldout_scores.DIGEST, suffixes=("", " before"))
    if both.empty:
        text = "no held-out image is known from the latest blessed run"
        return Rule("relabelled", "all", None, None, None, limit, None, text)
    own, earlier = (
        both[[f"{name}{suffix}" for name in labels]].to_numpy() for suffix in ("", " before")
    )
    # What nobody said before was not changed.
    changed = (own != earlier) & (own != UNKNOWN) & (earlier != UNKNOWN)
    count = int(changed.any(1).sum())
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
    limit, task = settings["gate"]["label_shift"]["max_drop"], Task.of(settings)
    if baseline.heldout is None or baseline.state != "compared":
        text = baseline.text if baseline.state != "compared" else _no_heldout(baseline)
        yield Rule("label_shift", "all", None, None, None, -limit, None, text)
        return
    now = _scored_by(baseline, frame, task)
    whole = _compare_labels("all", now, baseline.heldout, task, limit)
    masks = [heldout_scores.mask_slices(t, settings["slices"]) for t in (now, baseline.heldout)]
    slices = []
    for name in masks[0].keys() & masks[1].keys():
        parts = (now[masks[0][name]], baseline.heldout[masks[1][name]])
        if all(_enough(part, task, settings["min_patients"]) for part in parts):
            slices.append(_compare_labels(name, *parts, task, limit))
    if slices:
        text = f"{whole.text}. {len(slices)} slices were looked at likewise"
        whole = dataclasses.replace(whole, text=text)
    yield whole
    yield from sorted((r for r in slices if not r.passed), key=lambda rule: rule.slice)


def _scored_by(baseline: Baseline, frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The images that the blessed model scored, with its scores in place of the candidate's."""
    assert baseline.scores is not None  # it was compared
    known = frame[frame[heldout_scores.DIGEST].isin(baseline.scores.index)].reset_index(drop=True)
    columns = [heldout_scores.score_column(task, name) for name in task.judged]
    scores = baseline.scores.loc[known[heldout_scores.DIGEST], columns].to_numpy(float)
    return known.assign(**dict(zip(columns, scores.T, strict=True)))


def _enough(part: pd.DataFrame, task: Task, least: int) -> bool:
    views = (heldout_scores.view(part, task, name) for name in task.judged)
    return any(rules.patients_of_rarer_class(view) >= least for view in views)


def _compare_labels(
    name: str, now: pd.DataFrame, before: pd.DataFrame, task: Task, limit: float
) -> Rule:
    # Of the same findings: those that both can judge.
    matrices = [heldout_scores.matrices(table, task) for table in (now, before)]
    judged = np.all([intervals.can_judge(labels) for labels, _ in matrices], axis=0)
    auc_now, auc_before = (
        intervals.mean_auc(labels[:, judged], scores[:, judged], table[contract.PATIENT])
        for table, (labels, scores) in zip((now, before), matrices, strict=True)
    )
    if auc_now is None or auc_before is None:
        text = "the latest blessed model's AUC cannot be compared: a test split holds one class"
        return Rule("label_shift", name, None, None, None, -limit, None, text)
    change = intervals.difference(auc_now, auc_before)
    # By the interval's end: the two splits hold other patients, and chance moves both AUCs.
    passed = bool(change.high >= -limit)
    where = "" if name == "all" else f"{name}: "
    text = (
        f"{where}the latest blessed model has {_name(task)} {auc_now.value:.4f} here and had "
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


def _name(task: Task) -> str:
    return "AUC" if task.binary else "mean AUC"


def _signed(change: Estimate) -> str:
    return f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"


def _no_heldout(baseline: Baseline) -> str:
    if baseline.state == "none":
        return baseline.text
    return "the held-out scores of the latest blessed run are not at hand"


def _against(frame: pd.DataFrame, baseline: Baseline, task: Task, gate: Mapping[str, Any]) -> Rule:
    limit, bound = gate["max_drop"], gate["drop_bound"]
    if baseline.refuses or baseline.state != "compared":
        passed = False if baseline.refuses else None
        return Rule("baseline", "all", None, None, None, -limit, passed, baseline.text)
    change = _change(frame, baseline, task, task.judged)
    if change is None:
        text = "the latest blessed model cannot be compared: the test split holds one class"
        return Rule("baseline", "all", None, None, None, -limit, None, text)
    text = (
        f"{_name(task)} differs by {_signed(change)} from the latest blessed model's on the same "
    )
    passed, allowed = rules.judge_drop(change, limit, bound)
    text += f"images; {allowed}"
    value, low, high = dataclasses.astuple(change)
    return Rule("baseline", "all", value, low, high, -limit, passed, text)


def _against_of_one(
    frame: pd.DataFrame, baseline: Baseline, task: Task, name: str, limit: float
) -> Iterator[Rule]:
    """Compares one finding of several. The more there are, the more would differ by chance."""
    change = _change(frame, baseline, task, [name], len(task.judged))
    if change is None:
        return
    passed = bool(change.value >= -limit or change.high >= 0)
    text = (
        f"{name}: AUC differs by {_signed(change)} from the latest blessed model's; more than "
        f"{limit:g} lower is refused if all of the interval, which allows for "
        f"{len(task.judged)} comparisons, lies below 0, too"
    )
    value, low, high = dataclasses.astuple(change)
    yield Rule("baseline", "all", value, low, high, -limit, passed, text, name)


def _change(
    frame: pd.DataFrame,
    baseline: Baseline,
    task: Task,
    names: Sequence[str],
    comparisons: int = 1,
) -> Estimate | None:
    """The candidate's mean AUC of some findings less the blessed model's, on the same images."""
    assert baseline.scores is not None  # it was compared
    blessed = _scored_by(baseline, frame, task)
    own = frame[frame[heldout_scores.DIGEST].isin(baseline.scores.index)]
    chosen = [task.index(name) for name in names]
    labels, scores = heldout_scores.matrices(own, task)
    _, blessed_scores = heldout_scores.matrices(blessed, task)
    return intervals.mean_auc_difference(
        labels[:, chosen], scores[:, chosen], blessed_scores[:, chosen],
        own[contract.PATIENT].to_numpy(), comparisons,
    )  # fmt: skip

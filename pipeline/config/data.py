"""The config's sections of the data: how they are split, checked, and judged by."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from tfxray.components.common.contract import (
    AGE,
    FEATURES,
    MEAN,
    SEX,
    SHARPNESS,
    SITE,
    SPLITS,
    STD,
    TEXT,
    VIEW,
)
from tfxray.components.common.errors import did_you_mean
from tfxray.pipeline.config.base import Feature, Section, Share
from tfxray.pipeline.config.ingest import DatasetName, Ingest


class Split(Section):
    """How the patients are shared out to the splits.

    All images of a patient go to one split. The three shares must sum to 1, and each must be at
    least 0.01. If the data come in split folders, those splits are kept and the shares have no
    effect; where only `train` and `test` are given, `eval` is drawn out of `train` by its share.
    `split: official` is short for `split: {official: true}`.
    """

    train: Share = 0.70
    """The share of the patients for training."""
    eval: Share = 0.15
    """The share of the patients for early stopping, the operating point and the calibration."""
    test: Share = 0.15
    """The share of the patients for Evaluator and the gate. Nothing else sees them."""
    eval_from_train: Share | None = None
    """For data with given splits. This share of the patients in `train` and `val` becomes the
    split `eval`; all others become `train`.
    """
    lists: dict[Literal["train", "eval", "test"], str] = {}
    """Files that list the images of a split, a name or a path on each line:
    `{train: train_val_list.txt, test: test_list.txt}`. Their paths are relative to the data folder.
    They count more than a column `split` and than split folders. An image that no list has is
    rejected.
    """
    words: dict[str, Literal["train", "eval", "test"]] = {}
    """What words of the manifest's column `split` mean, if it is not what they say:
    `{valid: test, holdout: test}`. Capitals do not matter. `val`, `dev` and the like are `eval`.
    """
    official: bool = False
    """Insist on the official split of a public data set. Where there is one, it is taken anyhow,
    unless `ignore_given` is set; this makes it an error if there is none.
    """
    ignore_given: bool = False
    """Treat the split folders as one set and split it anew by patient."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, raw: Any) -> Any:
        return {"official": True} if raw == "official" else raw

    @model_validator(mode="after")
    def _one_way(self) -> "Split":
        if self.official and (self.ignore_given or self.lists):
            raise ValueError("official contradicts ignore_given and lists: take one out")
        return self

    @model_validator(mode="after")
    def _sum(self) -> "Split":
        if abs(self.train + self.eval + self.test - 1) > 1e-6:
            raise ValueError("train, eval and test must sum to 1")
        if min(self.train, self.eval, self.test) < 0.01:
            raise ValueError("train, eval and test must each be at least 0.01")
        return self


Action = Literal["fail", "warn"]
# Jensen-Shannon divergence for numbers, L-infinity distance for categories.
DRIFT: dict[str, float | None] = {
    MEAN: 0.07, STD: 0.07, SHARPNESS: 0.07, AGE: 0.07,
    TEXT: 0.1, SEX: 0.1, VIEW: 0.1, SITE: 0.1,
}  # fmt: skip


class DataGate(Section):
    """What DataGate does about each kind of data issue.

    `fail` stops the run with exit code 4. `warn` only reports the issue.
    """

    rejects: Action = "fail"
    """More images were rejected than `validation.max_rejected` allows."""
    leakage: Action = "fail"
    """Two splits share a patient, or an image with the same pixels."""
    near_identical: Action = "fail"
    """Two splits have nearly the same image; `validation.near_distance` says how near."""
    drift: Action = "fail"
    """A feature lies further from the latest blessed run's than `validation.drift` allows."""
    shortcut: Literal["fail", "warn", "off"] = "warn"
    """Site, view, sex, age, size, format, brightness, contrast or sharpness alone tell the label
    better than `validation.shortcut_auc` allows, so that a model may learn them in the place of the
    disease. `off` leaves the check out.
    """
    anomalies: Action = "fail"
    """The data break the schema. A column that the schema lacks only gives a warning."""


class Validation(Section):
    """What the data are checked against before anything is trained."""

    schema_file: str | None = Field(None, alias="schema")
    """The file of a curated schema. The default is the schema in the package."""
    max_rejected: Share = 0.05
    """The greatest share of the images that may be rejected."""
    near_distance: int = Field(16, ge=0, le=32)
    """Two images are nearly identical if their perceptual hashes differ in at most this many of 256
    bits. Patients who have nearly identical images are drawn as one patient. In Kermany's set, 17
    million pairs of images from different patients differ in at least 36.
    """
    drift: dict[Feature, Annotated[float, Field(ge=0)] | None] = Field(DRIFT, validate_default=True)
    """The greatest drift of each feature; `null` switches its check off. Features that you leave
    out keep their defaults. Of findings, `image/class/text` stands for each one's share. Drift is
    the Jensen-Shannon divergence for numbers and the L-infinity distance for categories. The limits
    hold for very large samples. A smaller sample varies more by chance, so it gets a higher limit;
    `benchmarks/DRIFT.md` has the false alarms.
    """
    shortcut_auc: float = Field(0.56, ge=0.5, le=1)
    """The highest AUC with which what `validation.gate.shortcut` names may tell the label. The
    default is a small effect by Cohen's measure (0.2 standard deviations). Small samples vary more
    by chance, and get a higher limit; `benchmarks/SHORTCUTS.md` has the false alarms.
    """
    gate: DataGate = DataGate()

    @field_validator("drift")
    @classmethod
    def _drift(cls, value: dict[str, float | None]) -> dict[str, float | None]:
        unknown = sorted(set(value) - set(FEATURES))
        if unknown:
            near = did_you_mean(unknown, FEATURES)
            raise ValueError(f"no such feature: {unknown}{near}; allowed: {', '.join(FEATURES)}")
        return {**DRIFT, **value}


# A folder's name, and a part of the names of metrics.
_EXTERNAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


class External(Section):
    """An external test set: images of another hospital. Nothing is trained or chosen by them."""

    data: str = Field(min_length=1, max_length=1000)
    """The folder of the images or TFRecords, on this machine, `s3://` or `gs://`. All of its images
    are used, whatever split they are in.
    """
    dataset: DatasetName = None
    """The public data set that the folder holds; see `ingest.dataset`."""
    findings: list[str] = []
    """With `findings`: those that this set tells anything about. By default it must tell all."""
    patients: Literal["shared", "own"] = "shared"
    """Whether a patient's id means the same person as in the data of the run. `shared`: a patient
    of both is leakage. `own`: the set counts its patients by itself, so that equal ids are no
    leakage; equal images still are.
    """
    ingest: Ingest = Ingest()
    """How these images get their labels. The keys are those of the section `ingest`, except for
    `data`, `dataset` and `sample`. Nothing is taken over from that section but
    `pseudonym_key`.
    """

    @model_validator(mode="after")
    def _own_keys(self) -> "External":
        if self.ingest.sample:
            raise ValueError("ingest.sample: an external test set is not drawn; take the key out")
        for key in ("data", "dataset"):
            if getattr(self.ingest, key) is not None:
                raise ValueError(f"ingest.{key}: write it beside `ingest`, as `{key}`")
        return self

    def check_names(self, place: str, findings: Sequence[str]) -> None:
        """Sees that the names in it are known.

        Args:
            place: Its own in the config.
            findings: The config's.

        Raises:
            ValueError: One is not.
        """
        if unknown := sorted(set(self.findings) - set(findings)):
            allowed = ", ".join(findings) or "none, since the config has `classes`"
            raise ValueError(
                f"{place}.findings: {unknown} are none of the findings"
                f"{did_you_mean(unknown, findings)}; allowed: {allowed}"
            )
        try:
            self.ingest.check_names(self.findings or findings)
        except ValueError as error:
            raise ValueError(f"{place}.{error}") from None


_Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]


class Card(Section):
    """What who signs must know, and no run can find out: the page's first lines and the model card.

    A run needs none of it. What is empty is said to be empty.
    """

    owner: _Words = ""
    """Who answers for the model: a person or a department, and how to reach them."""
    intended_use: _Words = ""
    """What the model is for, by whom, and for which patients."""


class Evaluate(Section):
    """What Evaluator reports of the split `test`."""

    slices: list[Feature | list[Feature]] = [
        "study/site",
        "patient/sex",
        "study/view",
        "patient/age",
    ]
    """The features that make slices. A list of features in the list crosses them. A feature that
    the data lack makes no slice. Age makes the slices 0-17, 18-39, 40-59, 60-79 and 80 or more
    years.
    """
    intervals: bool = False
    """Add TFMA's jackknife confidence intervals, which count images. The intervals of the page and
    the gate count patients and need no key.
    """
    min_patients: int = Field(10, ge=1)
    """The fewest patients that a slice needs for its figures. The table of what one site teaches
    about another leaves out a site that has fewer patients of a class.
    """

    external: dict[str, External] = {}
    """External test sets by name: images of other hospitals, which the run judges the model by and
    uses for nothing else: `{nih: {data: /data/nih, dataset: nih}}`. The page shows each
    of them beside the split `test`, and `gate.external` has the rules.
    """

    @field_validator("slices")
    @classmethod
    def _slices(cls, value: list[str | list[str]]) -> list[str | list[str]]:
        for item in value:
            for name in [item] if isinstance(item, str) else item:
                if name not in FEATURES:
                    near = did_you_mean(name, FEATURES)
                    raise ValueError(
                        f"no such feature: {name!r}{near}; allowed: {', '.join(FEATURES)}"
                    )
        return value

    @field_validator("external")
    @classmethod
    def _external(cls, value: dict[str, External]) -> dict[str, External]:
        if wrong := sorted(name for name in value if not _EXTERNAL_NAME.fullmatch(name)):
            raise ValueError(
                f"{wrong[0]!r}: is no name for a set: letters, digits, `-`, `_` and `.`, at most 60"
            )
        if like := sorted(name for name in value if name.lower() in SPLITS):
            raise ValueError(f"{', '.join(like)}: is the name of a split; choose another one")
        return value

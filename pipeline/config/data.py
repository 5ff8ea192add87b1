"""The config's sections of the data: where they come from, how they are split and checked."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tfxray.components.common import contract
from tfxray.components.common.contract import (
    AGE,
    FEATURES,
    MEAN,
    METADATA,
    SEX,
    SHARPNESS,
    SITE,
    STD,
    TEXT,
    VIEW,
)
from tfxray.components.listing import left_out
from tfxray.pipeline.config.base import Feature, Section, Share


class Sample(Section):
    """A set of X-rays that tfxray draws itself.

    A run draws it when neither `--data` nor `ingest.data` names data.
    """

    images: int = Field(1200, ge=20)
    """How many X-rays are drawn."""
    size: int = Field(160, ge=64, le=1024)
    """The width and the height of each X-ray in pixels."""
    seed: int = 0
    """The seed of the drawing. The same seed gives the same X-rays."""
    findings: bool = False
    """Draw several findings in each X-ray, in the place of healthy and pneumonia: Effusion,
    Cardiomegaly, Nodule, Pneumothorax, and lobar, patchy and interstitial opacity. Some labels are
    uncertain, and some are missing.
    """


COLUMNS = ("path", "label", "split", *METADATA)
Uncertain = Literal["ignore", "positive", "negative"]
Glob = Annotated[str, Field(min_length=1, max_length=1000)]


class Ingest(Section):
    """Where the images come from and how they get their labels."""

    data: str | None = None
    """The folder of the images or TFRecords, on any file system that Beam knows. The option
    `--data` overrides it.
    """
    sample: Sample | None = None
    """Write `sample: {}` to have a set drawn with the defaults below."""
    manifest: str | None = None
    """A CSV file; its path is relative to the data folder. It needs the column `path`. It may have
    the columns `label`, `split`, `patient`, `age`, `sex`, `view` and `site`. Findings have a column
    each, with 1, 0, -1 (uncertain) or nothing (nobody said); or `label` names those that are
    present, with `|` between them. Only the images in its list are used. The default is
    `manifest.csv`, if the data folder has one.
    """
    columns: dict[str, str] = {}
    """The headings of the manifest's columns, if they differ from ours. Write our name first:
    `{path: Image Index, label: Finding Labels}`. Ours are those of `manifest`, and the findings,
    such as `{Effusion: Pleural Effusion}`. Capitals, blanks and `_` in a heading do not matter.
    """
    root: str = ""
    """The folder, below the data folder, where the manifest's paths begin. It is put before each
    path, or taken off a path that begins with it.
    """
    extension: str = ""
    """The extension of the image files, such as `.dcm`, if the manifest's paths lack it or have
    another image's.
    """
    include: list[Glob] = []
    """Globs of the only files to be used, as in a `.gitignore` file: `*` stays within a name, `**`
    crosses folders, a glob without `/` matches at any depth, and a folder stands for all below it.
    A folder that a glob names is used even if it is named like a mask's.
    """
    exclude: list[Glob] = []
    """Globs of files that are left out, such as `[lateral, "**/*_old.png"]`."""
    follow_links: bool = False
    """Read files and folders behind links that lead out of the data folder."""
    pattern: str | None = None
    """A regular expression. It is searched in each path below the data folder. Its named groups
    `label`, `patient`, `age`, `sex`, `view` and `site` fill what the manifest leaves empty. A group
    may occur again with a number at its end, such as `patient2`; the first one that matches counts.
    The group `kind` is put before the patient, so that equal numbers from two series stay two
    patients.
    """
    labels: dict[str, str] = {}
    """The names that folders, the manifest or the pattern use for the classes or findings. Write
    ours second: `{normal: NORMAL}`. A word that means none of the findings has an empty text:
    `{Hernia: ""}`. `No Finding` and `normal` mean so by themselves.
    """
    uncertain: Uncertain | dict[str, Uncertain] = "ignore"
    """What Trainer makes of a finding that is uncertain (-1): nothing, as if nobody had said
    (`ignore`), present (`positive`) or absent (`negative`). These are U-Ignore, U-Ones and U-Zeros
    of Irvin et al. (CheXpert, 2019). A mapping names findings; those that it leaves out are
    ignored. Evaluator counts no uncertain label.
    """
    features: dict[str, str] = {}
    """The names of the features in your own TFRecords, if they differ from the data contract. Write
    the contract's name first: `{image/encoded: image}`. For findings, `{image/class/label: x}`
    names a vector of them, in the config's order, `{image/class/text: x}` a text, and
    `{finding/Effusion: x}` one of them.
    """
    shards: int = Field(0, ge=0)
    """How many TFRecord files are written for each split. With 0, Beam chooses the number and needs
    less memory.
    """
    max_pixels: int = Field(40_000_000, ge=1024)
    """An image with more pixels is rejected before it is decoded. A WebP may have a third as many.
    """
    max_bytes: int = Field(150_000_000, ge=1024)
    """A larger file is rejected unread. A compressed DICOM file that is larger when it is inflated
    is rejected, too.
    """
    max_seconds: int = Field(60, ge=1)
    """A file that takes more seconds of processor time is rejected. JPEG and PNG files count by
    what they hold.
    """
    pseudonym_key: str | None = None
    """The file with the secret key that turns the patients of DICOM files into pseudonyms. By
    default the key comes from the environment variable TFXRAY_PSEUDONYM_KEY. If that is not set
    either, a new key is made and kept beside the records.
    """

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        names = {"label", "kind", *METADATA}
        unknown = sorted(g for g in groups if re.sub(r"\d+$", "", g) not in names)
        if unknown or not groups:
            raise ValueError(
                f"named groups {unknown or 'are missing'}; allowed: {', '.join(sorted(names))}"
            )
        return value

    @field_validator("include", "exclude")
    @classmethod
    def _globs(cls, value: list[str]) -> list[str]:
        for glob in value:
            left_out.match_glob(glob)
        return value

    def check_names(self, findings: Sequence[str]) -> None:
        """Sees that the names in it are known.

        Args:
            findings: The config's.

        Raises:
            ValueError: One is not.
        """
        own = {contract.finding(name) for name in findings}
        for key, what, names, allowed in (
            ("columns", "column", self.columns, [*COLUMNS, *findings]),
            ("features", "feature", self.features, [*FEATURES, *sorted(own)]),
            ("uncertain", "finding", self.uncertain, findings),
        ):
            unknown = sorted(set(names) - set(allowed)) if isinstance(names, dict) else []
            if unknown:
                raise ValueError(f"ingest.{key}: no such {what}: {unknown}; allowed: "
                                 f"{', '.join(allowed)}")  # fmt: skip
        for key, what, names in (
            ("columns", "heading", self.columns),
            ("features", "feature", self.features),
        ):
            sources = [names[name] for name in names if name in (*findings, *own)]
            if twice := sorted({source for source in sources if sources.count(source) > 1}):
                raise ValueError(f"ingest.{key}: one {what} for two findings: {', '.join(twice)}")
        if findings and (
            wrong := sorted({name for name in self.labels.values() if name} - set(findings))
        ):
            raise ValueError(
                f"ingest.labels: {wrong} are none of the findings; allowed: {', '.join(findings)}, "
                "or an empty text for none of them"
            )


class Split(Section):
    """How the patients are shared out to the splits.

    All images of a patient go to one split. The three shares must sum to 1, and each must be at
    least 0.01. If the data come in split folders, those splits are kept and the shares have no
    effect; where only `train` and `test` are given, `eval` is drawn out of `train` by its share.
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
    ignore_given: bool = False
    """Treat the split folders as one set and split it anew by patient."""

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
    gate: DataGate = DataGate()

    @field_validator("drift")
    @classmethod
    def _drift(cls, value: dict[str, float | None]) -> dict[str, float | None]:
        unknown = sorted(set(value) - set(FEATURES))
        if unknown:
            raise ValueError(f"no such feature: {unknown}; allowed: {', '.join(FEATURES)}")
        return {**DRIFT, **value}

"""The config's sections of the data: where they come from, how they are split and checked."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

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
from tfxray.pipeline.config.base import Section, Share


class Sample(Section):
    """A drawn set, used when neither `--data` nor `ingest.data` names one."""

    images: int = Field(1200, ge=20)
    size: int = Field(160, ge=64, le=1024)
    seed: int = 0


class Ingest(Section):
    """Where images come from and how they are labelled.

    Attributes:
        data: Folder of images or TFRecords; `--data` overrides it.
        sample: Draw a set instead.
        manifest: CSV below the data folder, with the columns `path`, `label` and any of
            `patient,age,sex,view,site`. Default: `manifest.csv` where there is one.
        pattern: Regular expression, matched against the path below the data folder, whose named
            groups (`label`, `patient`, `age`, `sex`, `view`, `site`) fill what the manifest does
            not. Groups may repeat under a numeral (`patient2`): the first that matched counts,
            and `kind` is put before the patient, so that numbers of two series do not meet.
        labels: What a folder, manifest or pattern calls a class: `{normal: NORMAL}`.
        features: TFRecords that name things otherwise: `{image/encoded: image}`.
        shards: TFRecord files written per split; 0 lets Beam choose, and needs less memory.
        max_pixels: Larger images are set aside undecoded.
        pseudonym_key: File of the key by which DICOM's patients become pseudonyms. Default: the
            environment's TFXRAY_PSEUDONYM_KEY, else a fresh key kept beside the records.
    """

    data: str | None = None
    sample: Sample | None = None
    manifest: str | None = None
    pattern: str | None = None
    labels: dict[str, str] = {}
    features: dict[str, str] = {}
    shards: int = Field(0, ge=0)
    max_pixels: int = Field(200_000_000, ge=1024)
    pseudonym_key: str | None = None

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        allowed = {"label", "kind", *METADATA}
        unknown = sorted(g for g in groups if re.sub(r"\d+$", "", g) not in allowed)
        if unknown or not groups:
            raise ValueError(
                f"named groups {unknown or 'are missing'}; allowed: {', '.join(sorted(allowed))}"
            )
        return value

    @field_validator("features")
    @classmethod
    def _features(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(set(value) - set(FEATURES))
        if unknown:
            raise ValueError(f"no such feature: {unknown}; allowed: {', '.join(FEATURES)}")
        return value


class Split(Section):
    """Shares of the patients; given split folders are taken as they are.

    Attributes:
        train: Share for training.
        eval: Share for early stopping, threshold and calibration.
        test: Share for Evaluator and the gate, and nothing else.
        eval_from_train: With given folders: draw `eval` by patient out of `train` with this
            share, and leave a given `val` folder aside.
        ignore_given: Treat given split folders as one set and split it by patient.
    """

    train: Share = 0.70
    eval: Share = 0.15
    test: Share = 0.15
    eval_from_train: Share | None = None
    ignore_given: bool = False

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
    """What each kind of finding leads to: `fail` stops the run with exit code 4.

    Attributes:
        rejects: More images set aside than `validation.max_rejected`.
        leakage: A patient, or the same pixels, in two splits.
        near_identical: Nearly the same image in two splits.
        drift: A feature lies further from the latest blessed run's than it may.
        anomalies: The data breaks the schema. Columns that the schema does not know only warn.
    """

    rejects: Action = "fail"
    leakage: Action = "fail"
    near_identical: Action = "fail"
    drift: Action = "fail"
    anomalies: Action = "fail"


class Validation(Section):
    """What the data is checked against.

    Attributes:
        schema_file: A curated schema; default: the one in the package.
        max_rejected: Share of the images that may be set aside.
        near_distance: Images whose perceptual hashes differ in at most so many of 256 bits are
            nearly identical. Of 17 million pairs of images of different patients in Kermany's set,
            the nearest differ in 36.
        drift: Thresholds by feature, on top of `DRIFT`; null leaves a feature out. They hold for
            very large samples; for smaller ones the limit is higher, see
            `components/validation/drift.py`.
        gate: What a finding leads to.
    """

    schema_file: str | None = Field(None, alias="schema")
    max_rejected: Share = 0.05
    near_distance: int = Field(16, ge=0, le=32)
    drift: dict[str, Annotated[float, Field(ge=0)] | None] = Field(DRIFT, validate_default=True)
    gate: DataGate = DataGate()

    @field_validator("drift")
    @classmethod
    def _drift(cls, value: dict[str, float | None]) -> dict[str, float | None]:
        unknown = sorted(set(value) - set(FEATURES))
        if unknown:
            raise ValueError(f"no such feature: {unknown}; allowed: {', '.join(FEATURES)}")
        return {**DRIFT, **value}

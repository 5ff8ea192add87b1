"""The config's section `ingest`: where the images come from, and what tells their labels."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from tfxray.components.common import contract
from tfxray.components.common.contract import FEATURES, METADATA
from tfxray.components.common.errors import did_you_mean
from tfxray.components.guard.rejects import Limits
from tfxray.components.layouts import registry
from tfxray.components.listing import left_out
from tfxray.components.manifest import columns
from tfxray.components.manifest.columns import COLUMNS
from tfxray.components.manifest.findings import named_in
from tfxray.pipeline.config.base import Section, describe_choices


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


SplitName = Literal["train", "eval", "test"]
Uncertain = Literal["ignore", "positive", "negative"]
View = Literal["PA", "AP", "LL", "unknown", "*"]
Metadata = Literal["patient", "age", "sex", "view", "site"]
Glob = Annotated[str, Field(min_length=1, max_length=1000)]


def _known_dataset(value: str | None) -> str | None:
    value = value and value.lower()
    if value not in (None, "none", *registry.NAMES):
        near = did_you_mean(value or "", registry.NAMES)
        raise ValueError(f"no such data set{near}; allowed: none, {', '.join(registry.NAMES)}")
    return value


DatasetName = Annotated[
    str | None,
    describe_choices(["none", *registry.NAMES]),
    AfterValidator(_known_dataset),
]


class Join(Section):
    """A table that tells more of the manifest's rows."""

    table: str | list[str]
    """Its path, relative to the data folder; or a glob that one file matches. Of a list, the first
    table that is there counts.
    """
    by: list[str] | dict[str, str] = Field(min_length=1)
    """The columns by which its rows belong to the manifest's, by their headings. If these differ,
    write the manifest's first: `{id: Image Index}`.
    """

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Each column by its heading in the manifest, and in this table."""
        return tuple(self.by.items() if isinstance(self.by, dict) else ((n, n) for n in self.by))


class Ingest(Section):
    """Where the images come from and how they get their labels."""

    data: str | None = None
    """The folder of the images or TFRecords, on this machine, `s3://` or `gs://`. The option
    `--data` overrides it.
    """
    sample: Sample | None = None
    """Write `sample: {}` to have a set drawn with the defaults below."""
    dataset: DatasetName = None
    """The public data set that the data folder holds, as it was unpacked. Its reader gives the keys
    below, and the official split; what you write here counts more. `tfxray datasets` lists them. By
    default a known layout is found by its files, unless the config itself says how labels are told;
    `none` looks for none.
    """
    manifest: str | list[str] | dict[SplitName, str] | None = None
    """A table: CSV, CSV compressed by gzip, an Excel workbook (`.xlsx`) or lines of JSON. Its path
    is relative to the data folder; it may be a glob that one file matches. Several tables make one;
    `{train: train.csv, test: test.csv}` gives the split of each one's rows. It needs the column
    `path`. It may have the columns `label`, `split`, `patient`, `age`, `sex`, `view` and `site`.
    Findings have a column each, with 1, 0, -1 (uncertain) or nothing (nobody said); or `label`
    names those that are present. Only the images in its list are used. The default is
    `manifest.csv`, if the data folder has one.
    """
    separator: Literal["comma", "semicolon", "tab", "pipe", "blanks"] | None = None
    """What stands between the manifest's cells. By default it is found."""
    headings: list[str] = []
    """The names of the manifest's columns, if no line of it has them."""
    columns: dict[str, str | Annotated[list[str], Field(min_length=1)]] = {}
    """The headings of the manifest's columns, if they differ from ours. Write our name first:
    `{path: Image Index, label: Finding Labels}`. Ours are those of `manifest`, and the findings,
    such as `{Effusion: Pleural Effusion}`. Further ones are `birth` and `study_date`, which tell
    the age; `reader`, if an image has a row of each reader; and `no_finding`, a column that says 1
    where all findings but `Support Devices` are absent. A text may have headings in braces:
    `{path: "{folder}/{filename}"}`; `{study:.2}` takes two letters of a cell. Of a list, the first
    heading with a text counts. Capitals, blanks and `_` in a heading do not matter. Of several
    tables, some may lack a column that another one has: that is said, and their cells are empty.
    """
    joins: list[Join] = []
    """Further tables, whose columns are added to the manifest's by keys that both have."""
    keep: dict[str, list[str]] = {}
    """The only rows that are used, by the words of a column: `{modality: [X-ray]}`. The images of
    other rows are left out and counted.
    """
    root: str = ""
    """The folder, below the data folder, where the paths of the manifest and of `split.lists`
    begin. It is put before each path, or taken off a path that begins with it.
    """
    strip: list[Glob] = []
    """Globs of folders that begin the manifest's paths and are not on the disk, such as
    `[CheXpert-v1.0*]` or `["old/images"]`. They are taken off. A path that is not there is looked
    for in further folders: `a/1.png` may be `unpacked/a/1.png`.
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
    labels: dict[str, str | None] = {}
    """The names that folders, the manifest or the pattern use for the classes or findings. Write
    ours second: `{normal: NORMAL}`. A word may mean several findings:
    `{Bronchopneumonia: Pneumonia|Consolidation}`. A word that means none of the findings has an
    empty text: `{Hernia: ""}`. `No Finding` and `normal` mean so by themselves. Images with a word
    that has `null` are left out and counted. A word that tells nothing of the findings, such as
    `unchanged`, has `"?"`. The word `"*"` stands for all words that are not
    named. Of classes, the word `""` stands for an empty cell.
    """
    label_separator: Literal["pipe", "comma", "semicolon", "slash", "list"] = "pipe"
    """What stands between the words of a text that names several findings; or that it is a list as
    Python or JSON write it: `['edema', 'effusion']`.
    """
    label_parts: Literal["slash", "comma", "semicolon"] | None = None
    """What stands between the parts of a word, each of which may be a class or a finding: with
    `slash`, `Pneumonia/Viral/COVID-19` tells `Pneumonia` and `COVID-19`. Of classes the last one
    counts.
    """
    values: dict[str, Literal["positive", "negative", "uncertain", "unknown", "drop"]] = {}
    """What the cells of a finding's own column mean, if they are not those of `manifest`:
    `{"YES": positive, "NO": negative}`. An image with `drop` is left out and counted. The word
    `"*"` stands for all words that are not named.
    """
    blank: Literal["unknown", "negative"] = "unknown"
    """What an empty cell of a finding's own column means. The authors of CheXpert train it as
    negative; nobody said so.
    """
    several: Literal["refuse", "any", "majority"] = "refuse"
    """What several rows of one image mean, if their labels differ: an error (`refuse`); that a
    finding is present if any row says so (`any`; of classes, the last one counts); or what more
    than half of the readers say (`majority`; a tie is uncertain, and an image without a class is
    rejected). A column `reader` tells whose row it is. Rows must agree on all else.
    """
    views: Annotated[list[View], Field(min_length=1)] | None = None
    """The views that are used; images of others are left out and counted. `LL` is a lateral,
    `unknown` stands for images whose view nobody said, and `"*"` for all. By default all are used;
    of a public data set, all but laterals.
    """
    unknown: dict[Metadata, list[str]] = {}
    """Texts that stand for an unknown value: `{age: ["0"]}`."""
    meanings: dict[Metadata, dict[str, str]] = {}
    """What texts stand for that say another value: `{sex: {"0": F, "1": M}}`."""
    defaults: dict[Metadata, str] = {}
    """What holds for all images of which nothing tells it: `{site: North}`."""
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
            near = did_you_mean(unknown, names)
            raise ValueError(
                f"named groups {unknown or 'are missing'}{near}; allowed: "
                f"{', '.join(sorted(names))}"
            )
        return value

    @field_validator("columns")
    @classmethod
    def _templates(cls, value: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        for name, wanted in value.items():
            for text in [wanted] if isinstance(wanted, str) else wanted:
                if not columns.is_template(text):
                    raise ValueError(
                        f"{name}: {text!r}: braces come in pairs around a heading, such as "
                        "{folder}/{filename}"
                    )
        return value

    @model_validator(mode="after")
    def _birth(self) -> "Ingest":
        if "birth" in self.columns and "study_date" not in self.columns:
            raise ValueError("columns.birth tells an age only beside columns.study_date")
        return self

    @field_validator("include", "exclude", "strip")
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
                near = did_you_mean(unknown, allowed)
                raise ValueError(f"ingest.{key}: no such {what}: {unknown}{near}; allowed: "
                                 f"{', '.join(allowed)}")  # fmt: skip
        headings = {name: h if isinstance(h, str) else tuple(h) for name, h in self.columns.items()}
        sources: Sequence[str | tuple[str, ...]]
        for key, what, sources in (
            ("columns", "heading", [headings[n] for n in headings if n in findings]),
            ("features", "feature", [self.features[n] for n in self.features if n in own]),
        ):
            if twice := sorted(str(s) for s, count in Counter(sources).items() if count > 1):
                raise ValueError(f"ingest.{key}: one {what} for two findings: {', '.join(twice)}")
        if findings and (wrong := sorted(named_in(self.labels) - set(findings))):
            raise ValueError(
                f"ingest.labels: {wrong} are none of the findings{did_you_mean(wrong, findings)}; "
                f"allowed: {', '.join(findings)}, an empty text for none of them, ? for a word "
                "that tells nothing, or null for images that are left out"
            )

    @property
    def limits(self) -> Limits:
        """What one image file may take."""
        return Limits(self.max_pixels, self.max_bytes, self.max_seconds)

    @property
    def tells_labels(self) -> bool:
        """Whether it says itself how labels are told, so that no known layout is looked for."""
        return bool(self.manifest or self.pattern)

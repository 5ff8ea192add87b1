"""What the model card and the table of sites say beyond figures."""

import dataclasses
import datetime
import importlib.metadata
import math
import os
import platform
from collections.abc import Mapping, Sequence

from tfxray.components.common import contract
from tfxray.components.common.contract import SPLITS
from tfxray.components.evaluator.results import OVERALL
from tfxray.components.review.data_profile import Category, Number, tell_unknown_patients
from tfxray.components.review.evidence import Evidence
from tfxray.components.review.slice_figures import Row

_PACKAGES = (
    "tfxray", "tfx", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis",
    "tensorflow-data-validation", "apache-beam", "numpy",
)  # fmt: skip


EMPTY = "not given"
_RUN = "%Y%m%d-%H%M%S-%f"  # how a run is called, by when it began


@dataclasses.dataclass(frozen=True)
class SignOff:
    """What a signer asks first.

    Attributes:
        heading: What it is.
        text: The answer; EMPTY where the config says nothing.
        key: The config's key, where it could be said; empty elsewhere.
    """

    heading: str
    text: str
    key: str = ""

    @property
    def missing(self) -> bool:
        """Whether nobody said."""
        return self.text == EMPTY


def list_sign_off(evidence: Evidence, title: str) -> list[SignOff]:
    """What a page is signed for: the model, the data, the owner, the intended use and the date.

    Args:
        evidence: Of the run.
        title: Of the public data set; empty of any other.
    """
    config, summary = evidence.config, evidence.summary
    model, own = config.get("model") or {}, config.get("card") or {}
    network = f": {model['backbone']}, weights {model['weights']}" if model else ""
    version = os.path.basename(str(summary.get("pushed_model") or ""))
    pushed = f", pushed as version {version}" if version else ", not pushed"
    sizes = {name: evidence.counts[name].images for name in SPLITS if name in evidence.counts}
    listed = ", ".join(f"{split} {count}" for split, count in sizes.items())
    data = f"{sum(sizes.values())} images ({listed})" if sizes else "no statistics of it"
    folder = (config.get("ingest") or {}).get("data")
    source = title or (f"{folder}" if folder else "")
    return [
        SignOff("Model", f"{config.get('name', 'tfxray')}{network}{pushed}"),
        SignOff("Data", f"{source}: {data}" if source else data),
        SignOff("Owner", own.get("owner") or EMPTY, "card.owner"),
        SignOff("Intended use", own.get("intended_use") or EMPTY, "card.intended_use"),
        SignOff("Date", _date(str(summary.get("run_id", "")))),
    ]


def _date(run_id: str) -> str:
    """When a run began, by its name; the name where that tells no time."""
    try:
        return f"{datetime.datetime.strptime(run_id, _RUN):%Y-%m-%d %H:%M} (run {run_id})"
    except ValueError:
        return f"run {run_id}"


@dataclasses.dataclass(frozen=True)
class Site:
    """One site: its training images, and the model's figures on its test images.

    Attributes:
        name: Its name.
        training: How many of its images the model was trained on.
        test: Its slice of the test split; None where that holds none of it.
        unlike: The share of its test images that look unlike the training's; None where unknown.
    """

    name: str
    training: int
    test: Row | None
    unlike: float | None


def list_sites(
    evidence: Evidence, rows: Sequence[Row], categories: Sequence[Category]
) -> list[Site]:
    """Every site that the data names.

    Args:
        evidence: Of the run.
        rows: The slices.
        categories: The data's categories.
    """
    counts_by_site = next((c.values for c in categories if c.feature == contract.SITE), {})
    prefix = f"{contract.SITE}: "
    rows_by_site = {
        row.name.removeprefix(prefix): row
        for row in rows
        if row.name.startswith(prefix) and row.features == contract.SITE
    }
    rows_of_sites = []
    for name in [*counts_by_site, *(name for name in rows_by_site if name not in counts_by_site)]:
        row = rows_by_site.get(name)
        training = counts_by_site.get(name, {}).get("train", 0)
        rows_of_sites.append(Site(name, training, row, _unlike(evidence, row)))
    return rows_of_sites


def _unlike(evidence: Evidence, row: Row | None) -> float | None:
    """The share of a slice's images that look unlike the training images."""
    table = evidence.heldout_scores
    if row is None or row.rows is None or table is None or contract.UNLIKE not in table:
        return None
    return float((table[contract.UNLIKE][row.rows] == 1).mean())


def describe_population(categories: Sequence[Category], numbers: Sequence[Number]) -> list[str]:
    """Describes the patients of the training images, a line per feature."""
    lines = []
    for number in numbers:
        if number.feature == contract.AGE and number.split == "train":
            values = (number.least, number.most, number.median)
            line = "Age {:.0f} to {:.0f} years, median {:.0f}".format(*values)
            if not all(map(math.isfinite, values)):
                line = "Age not finite in some images"
            missing = f"; unknown for {number.missing} images" if number.missing else ""
            lines.append(line + missing)
    for category in categories:
        counts = {v: c["train"] for v, c in category.values.items() if c.get("train")}
        total = sum(counts.values())
        if total:
            shares = ", ".join(f"{value} {count / total:.0%}" for value, count in counts.items())
            lines.append(f"{category.feature}: {shares}")
    return lines


def list_limits(
    evidence: Evidence, rows: Sequence[Row], categories: Sequence[Category]
) -> list[str]:
    """What the run itself says about where the model is not to be trusted."""
    lines = []
    small = [row.name for row in rows if row.name != OVERALL and not row.figures.get("auc")]
    rules = evidence.gate.get("rules", [])
    unjudged = [r["slice"] for r in rules if r.get("unjudged") and r["slice"] != OVERALL]
    if names := dict.fromkeys([*unjudged, *small]):
        lines.append(f"Not enough test patients to judge: {', '.join(names)}.")
    unknown = [
        name
        for name in (contract.AGE, contract.SEX, contract.VIEW, contract.SITE)
        if evidence.heldout_scores is not None and name not in evidence.heldout_scores
    ]
    if unknown:
        lines.append(
            f"The data does not tell {', '.join(unknown)}: how the model does by them is unknown."
        )
    counts_by_site = next((c.values for c in categories if c.feature == contract.SITE), {})
    training_sites = [name for name, counts in counts_by_site.items() if counts.get("train")]
    if len(training_sites) == 1:
        lines.append(f"All training images come from one site, {training_sites[0]}.")
    external = evidence.summary.get("external") or {}
    lines += [
        f"On the external test set {name}, the AUC lies {own['change_from_test']:+.3f} from "
        "that on the split test."
        for name, own in external.items()
        if own["change_from_test"] is not None
    ]
    if not external and not any(
        counts.get("test") and not counts.get("train") for counts in counts_by_site.values()
    ):
        lines.append(
            "No test image is known to come from a hospital that the model was not trained on: "
            "nothing here tells how it does at another."
        )
    table = evidence.heldout_scores
    if told := tell_unknown_patients(evidence):
        lines.append(told)
    elif table is not None and table[contract.PATIENT].nunique() == len(table):
        lines.append(
            "Every test image counts as a patient of its own: if patients are not known, "
            "intervals are too narrow and a patient may be in two splits."
        )
    return [*lines, _tell_unlike(evidence.operating_point.get("unlike"))]


def _tell_unlike(unlike: Mapping[str, float] | None) -> str:
    """What the model does with an image that is not like the training data."""
    if not unlike or not math.isfinite(unlike["limit"]):
        return "Images are not checked for whether they are like the training data."
    return (
        "An image is called unlike the training data where its distance to them is above "
        f"{unlike['limit']:.1f}, as that of {unlike['share']:.1%} of the validation images is. Its "
        "score means nothing; tfxray predict withholds it, and a client of the served model must."
    )


def read_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that wrote the page."""
    by_name = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return by_name

"""The section on the data set: whose data they are, and where all files went."""

import base64
import html
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests import pages
from tests.components.review.written import Tags
from tfxray.components.guard import rejects
from tfxray.components.layouts import registry
from tfxray.components.listing import left_out
from tfxray.components.review import data_profile
from tfxray.components.review.page import write_page


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    return pages.leave(tmp_path_factory.mktemp("run"))


def write(folder, uris, **ingest):
    """The page and the model card of a run with this report of its ingest.

    Without artifacts, they tell of the data alone: to draw the rest takes seconds.
    """
    write_page(folder / "review.html", pages.run_summary(ingest=ingest), pages.config(), uris)
    return (folder / "review.html").read_text(), (folder / "MODEL_CARD.md").read_text()


def words(page):
    return " ".join(Tags(page).text.split())


def section(page):
    return re.search(r'<section aria-labelledby="dataset">(.*?)</section>', page, re.S)[1]


@pytest.mark.parametrize("name", registry.NAMES)
def test_page_and_card_tell_all_of_a_public_data_set(tmp_path, name):
    dataset = registry.by_name(name)
    page, card = write(tmp_path, {}, **pages.INGEST, dataset=dataset.describe())
    text = words(section(page))
    plain = html.unescape(card.replace("\\", ""))
    said = (dataset.title, dataset.licence, dataset.citation, dataset.address, dataset.size)
    official = dataset.official or "none: the patients are drawn"
    for line in (*said, official, *dataset.left_out):
        assert " ".join(line.split()) in text
        assert " ".join(line.split()) in plain
    links = [attributes for tag, attributes in Tags(page).tags if tag == "a"]
    out = [a["href"] for a in links if not a["href"].startswith("#")]
    assert out == ([dataset.address] if dataset.address.startswith("https://") else [])
    assert "#dataset" in [a["href"] for a in links]


def test_every_file_of_the_copy_is_accounted_for_once(tmp_path, uris):
    page, card = write(tmp_path, uris, **pages.INGEST, dataset=registry.DATASETS[0].describe())
    whole = (
        "150 files were found: 120 images are used, 5 were rejected, and 25 files were left out."
    )
    assert words(page).count(whole) == 1
    assert whole in card
    rows = re.findall(
        r'<tr><th scope="row">(.*?)<small>(.*?)</small></th><td>(.*?)</td><td>(.*?)</td></tr>',
        section(page),
    )
    assert rows == [
        (rejects.REASONS["no_label"], "no_label", "3", ""),
        (rejects.REASONS["truncated"], "truncated", "2", ""),
        (left_out.MEANINGS["other_view"], "other_view", "", "21"),
        (left_out.MEANINGS["other_kind"], "other_kind", "", "4"),
    ]
    assert "- 3 rejected: nothing tells its class" in card
    assert "- 21 left out: laterals, or other views" in card
    assert "were rejected at ingest" not in page  # said above
    assert "At ingest: odd" in page


def test_another_folder_has_the_counts_alone(tmp_path, uris):
    page, card = write(tmp_path, uris, **pages.INGEST, dataset={})
    for text in (words(section(page)), card.partition("## Data set")[2].partition("##")[0]):
        assert "150 files were found" in text
        for never in ("Licence", "Citation", "Official split", "This copy"):
            assert never not in text


def test_where_every_file_was_used_there_is_nothing_to_tell(tmp_path, uris):
    all_used = {"found": 9, "images": 9, "rejected": 0, "reasons": {}, "left_out": {}}
    for ingest in ({}, {**all_used, "dataset": {}}):
        page, card = write(tmp_path, uris, **ingest)
        assert 'id="dataset"' not in page
        assert "#dataset" not in page
        assert "## Data set" not in card
    assert data_profile.read_origin({**all_used, "dataset": {"title": "x"}}).written == 9


def test_partly_unknown_patients_are_told_on_page_and_card(tmp_path, uris):
    page, card = write(tmp_path, uris, without_patient=7)
    told = "7 images name no patient: each of them counts as a patient."
    # Of this run without statistics: with the data, and in the limits of the card.
    assert words(page).count(told) == 2
    assert card.count(f"- {told}") == 1
    for known in ({}, {"without_patient": 0}):
        page, card = write(tmp_path, uris, **known)
        assert "name no patient" not in page + card


def test_a_single_reason_of_rejects_is_shown(tmp_path, uris):
    message = "9 of 99 images were rejected, 9.1%; at most 5.0% are allowed"
    issue = {"kind": "rejects", "action": "fail", "message": message, "total": 9}
    for items, shown in ((["truncated: 9"], 1), (["empty: 4", "truncated: 5"], 1), ([], 0)):
        fields = pages.run_summary(data_issues=[{**issue, "items": items}])
        write_page(tmp_path / "review.html", fields, pages.config(), uris)
        checks = (tmp_path / "review.html").read_text()
        checks = checks[checks.index('id="checks"') :].partition("</section>")[0]
        assert checks.count("truncated: ") == shown
        assert checks.count("<details>") == (len(items) > 1)
    # What the message says already is not said twice.
    fields = pages.run_summary(data_issues=[{**issue, "items": [message[:20]]}])
    write_page(tmp_path / "review.html", fields, pages.config(), uris)
    assert words((tmp_path / "review.html").read_text()).count(message[:20]) == 1


def test_images_that_leak_stand_side_by_side(tmp_path, uris):
    pairs = [[["test", pages.FILES[0]], ["test", "2.png"]], [["test", "3.png"], ["train", "gone"]]]
    issue = {"kind": "identical", "action": "fail", "message": "m", "items": [], "total": 2}
    fields = pages.run_summary(data_issues=[{**issue, "pairs": pairs}])
    only_data = {name: uri for name, uri in uris.items() if name.startswith("ExampleGen")}
    write_page(tmp_path / "review.html", fields, pages.config(), only_data)
    page = (tmp_path / "review.html").read_text()
    assert pages.TAG not in page
    lists = re.findall(r'<div class="pictures leaking">(.*?)</div>', page, re.S)
    shown = [
        [base64.b64decode(uri) for uri in re.findall('src="data:image/jpeg;base64,(.*?)"', part)]
        for part in lists
    ]
    grey = [[int(np.asarray(Image.open(io.BytesIO(x))).mean()) for x in pair] for pair in shown]
    assert [len(pair) for pair in grey] == [2, 1]
    assert np.allclose(grey[0] + grey[1], [0, 2, 3], atol=1)  # as `pages.png` draws them
    assert "no picture" in lists[1]
    assert f"test: {pages.FILES[0]}test: 2.png" in words(page)


def test_texts_of_a_report_stay_text(tmp_path, uris):
    rule = f"[b](http://b) {pages.TAG}"
    counts = {**pages.INGEST, "reasons": {pages.TAG: 1}, "left_out": {rule: 2}}
    title = pages.HOSTILE_DATASET["title"]
    dataset = {**pages.HOSTILE_DATASET, "left_out": [title, title]}
    page, card = write(tmp_path, uris, **counts, dataset=dataset)
    assert pages.TAG not in page
    assert "alert(1)</script>" not in page
    tags = Tags(section(page))
    assert {tag for tag, _ in tags.tags} <= {
        "h2", "h3", "p", "strong", "dl", "div", "dt", "dd", "ul", "li", "table", "caption",
        "thead", "tbody", "tr", "th", "td", "code",
    }  # fmt: skip
    assert "\x1b" not in page + card
    assert "\u202e" not in page + card
    part = card.partition("## Data set")[2].partition("\n## ")[0]
    assert not re.search(r"<(?!https://)|(?<!\\)\[|^#|\|", part, re.M)


@pytest.mark.parametrize(
    "address",
    [
        "http://a.org/x", "javascript:alert(1)", "ftp://a.org", "https://", "//a.org", "",
        'https://a.org/" onclick="alert(1)', "https://a.org/<b>", "https://a.org/> [x](http://b)",
        "https://user@a.org", "https://a.org/a b", "https://a.org/\n", "HTTPS://a.org\x00",
        "https://a.org#<x>", "https://ä.org",
    ],
)  # fmt: skip
def test_no_address_but_a_plain_one_of_the_web_is_a_link(tmp_path, address):
    page, card = write(tmp_path, {}, **pages.INGEST, dataset={"title": "t", "address": address})
    assert "<a " not in section(page)
    assert "<http" not in card


def test_all_rules_and_reasons_have_words():
    rules = {
        value for name, value in vars(left_out).items()
        if name.isupper() and name[0] != "_" and isinstance(value, str)
    }  # fmt: skip
    assert rules == set(left_out.MEANINGS)

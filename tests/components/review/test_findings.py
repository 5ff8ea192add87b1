"""The page of several classes, or of findings."""

import pytest

from tests import pages
from tests.components.review.test_browser import CHROMIUM, browser  # noqa: F401  a fixture
from tests.components.review.written import Tags
from tfxray.components.common.contract import Task
from tfxray.components.review import evidence, findings
from tfxray.components.review.page import write_page

CLASSES = Task((*pages.CLASSES, "third"))
FINDINGS = Task(tuple(f"Finding {letter}" for letter in "ABCDEFGHIJKLMN"), exclusive=False)


@pytest.fixture(scope="module", params=[CLASSES, FINDINGS], ids=["classes", "findings"])
def run(request, tmp_path_factory):
    task = request.param
    uris = pages.leave_several(tmp_path_factory.mktemp("run"), task)
    path = tmp_path_factory.mktemp("page") / "review.html"
    write_page(path, pages.run_summary(), pages.config(task), uris)
    return task, uris, path


def test_names_stay_text_and_each_has_its_part(run):
    task, _, path = run
    page = path.read_text()
    assert pages.TAG not in page
    assert pages.SCRIPT not in page
    assert len(page) < 15e6
    tags = Tags(page)
    assert not [tag for tag, attributes in tags.tags if "onerror" in attributes]
    parts = [a["data-name"] for _, a in tags.tags if a.get("class") == "finding"]
    assert parts == list(task.judged)
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for tag, a in tags.tags if tag == "a" and a["href"][:1] == "#"}
    assert links <= set(ids)
    card = (path.parent / "MODEL_CARD.md").read_text()
    assert all(f"### {name}" in card or "<" in name for name in task.judged)


def test_the_table_counts_what_is_known(run):
    task, uris, _ = run
    of_run = evidence.read_evidence(pages.run_summary(), pages.config(task), uris)
    views = [of_run.of(name) for name in task.judged]
    parts = [{"name": n, "key": "", "evidence": v, "rows": []}
             for n, v in zip(task.judged, views, strict=True)]  # fmt: skip
    overview = findings.make_overview(of_run, parts)
    labels = of_run.heldout_scores[[f"label/{name}" for name in task.names]].to_numpy()
    if task.exclusive:
        counts = [row for _, row in overview.matrix.rows]
        assert sum(map(sum, counts)) == len(labels)
    else:
        _, first = overview.matrix.rows[0]
        both = (labels[:, 0] == 1) & (labels[:, 1] == 1)
        assert first[:2] == [(labels[:, 0] == 1).sum(), both.sum()]
    for view, column in zip(views, labels.T, strict=True):
        assert len(view.heldout_scores) == (column >= 0).sum()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page was tried in no browser")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_choice_moves_the_page(run, browser, width):  # noqa: F811
    task, _, path = run
    tab = browser.new_page(viewport={"width": width, "height": 900})
    odd = []
    tab.on("console", lambda message: odd.append(message.text))
    tab.on("pageerror", lambda error: odd.append(str(error)))
    tab.goto(path.as_uri())

    def shown():
        return tab.eval_on_selector_all(
            ".finding", "parts => parts.filter(p => !p.hidden).map(p => p.dataset.name)"
        )

    assert shown() == [task.judged[0]]
    tab.select_option("#finding", task.judged[-1])
    assert shown() == [task.judged[-1]]
    last = len(task.judged)
    assert tab.eval_on_selector_all(f"#finding-{last} .main-svg", "svgs => svgs.length") >= 4
    tab.focus(f"#slider-{last}")
    tab.keyboard.press("Home")
    assert tab.inner_text(f"#confusion-{last} [data-count=fn]") == "0 missed"
    tab.click("#by-finding tbody tr:nth-child(2) a")
    assert shown() == [task.judged[1]]
    wide = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown() == list(task.judged)
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert shown() == [task.judged[1]]
    tab.close()
    assert odd == []

"""The page in a browser: Chromium, where one is installed (Debian: apt-get install chromium)."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests import pages
from tfxray.components.common import contract
from tfxray.components.review import evidence, slice_figures
from tfxray.components.review.page import write_page
from tfxray.components.text import tables

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page was tried in no browser"),
]


@pytest.fixture(scope="module")
def uris(tmp_path_factory):
    return pages.leave(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page_path(uris, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "review.html"
    dataset = {**pages.HOSTILE_DATASET, "address": f"https://{'a' * 300}.org"}
    ingest = {**pages.INGEST, "left_out": {"x" * 200: 25}, "dataset": dataset}
    write_page(path, pages.run_summary(ingest=ingest), pages.config(), uris)
    return path


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=[1280, 390, 360], ids=lambda width: f"{width}px")
def page(request, browser, page_path):
    """The open page; it must ask for nothing and complain of nothing."""
    tab = browser.new_page(viewport={"width": request.param, "height": 900})
    odd = []
    tab.on("console", lambda message: odd.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: odd.append(str(error)))
    tab.on("dialog", lambda dialog: (odd.append(dialog.message), dialog.dismiss()))
    tab.on(
        "request",
        lambda call: None if call.url.startswith(("data:", "file:")) else odd.append(call.url),
    )
    tab.goto(page_path.as_uri())
    yield tab
    tab.close()
    assert odd == []


def cells(page, table):
    """What a table's cells hold, by row."""
    return page.eval_on_selector_all(
        f"#{table} tbody tr",
        """rows => Object.fromEntries(rows.map(row => [row.cells[0].textContent.trim(),
           Object.fromEntries([...row.cells].filter(cell => cell.dataset.metric).map(
             cell => [cell.dataset.metric, [cell.dataset.value, cell.textContent.trim()]]))]))""",
    )


def test_nothing_is_wider_than_the_screen(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    plots = page.eval_on_selector_all(".plot [role=img] .main-svg", "svgs => svgs.length")
    assert plots >= 6
    # A plot fills its own column, and no more.
    assert page.eval_on_selector_all(
        "figure.plot",
        """figures => figures.every(figure => figure.querySelector(".main-svg")
           .getBoundingClientRect().right <= figure.getBoundingClientRect().right + 1)""",
    )


def test_the_slider_begins_at_the_operating_point(page, uris):
    run_evidence = evidence.read_evidence(pages.run_summary(), pages.config(), uris)
    figures_by_slice = {row.name: row.figures for row in slice_figures.make_rows(run_evidence)}
    cells_by_slice, table = cells(page, "moved"), cells(page, "by-slice")
    assert cells_by_slice.keys() == figures_by_slice.keys() == table.keys()
    for name, metrics in cells_by_slice.items():
        for metric, (value, text) in metrics.items():
            figure = figures_by_slice[name][metric]
            assert (value == "") == (figure is None)
            if figure:
                assert float(value) == pytest.approx(figure.value, abs=1e-12)
                assert table[name][metric][1].startswith(text)
            else:
                assert text == table[name][metric][1] == "not enough"
    assert "the operating point" in page.inner_text("#chosen")


def test_the_slider_moves_by_keyboard(page):
    before = cells(page, "moved")["all"]
    page.focus("#slider")
    page.keyboard.press("Home")
    low = cells(page, "moved")["all"]
    assert low["sensitivity"][1] == "1.000"
    assert low["specificity"][1] == "0.000"
    assert page.inner_text("[data-count=fn]") == "0 missed"
    page.keyboard.press("End")
    assert cells(page, "moved")["all"]["sensitivity"][1] == "0.000"
    assert cells(page, "moved")["all"]["precision"][1] == "not enough"
    assert page.inner_text("#chosen") == "1.000" or page.inner_text("#chosen") == "1.00000"
    assert "1.000" in page.get_attribute("#slider", "aria-valuetext")
    page.click("#reset")
    assert cells(page, "moved")["all"] == before


def test_a_heading_sorts_and_too_small_a_slice_stays_last(page):
    def column(index):
        return page.eval_on_selector_all(
            "#by-slice tbody tr", f"rows => rows.map(row => row.children[{index}].dataset.value)"
        )

    page.focus("#by-slice thead th:nth-child(5) button")
    for order, backwards in (("ascending", False), ("descending", True)):
        page.keyboard.press("Enter")
        assert page.get_attribute("#by-slice thead th:nth-child(5)", "aria-sort") == order
        values = column(4)
        numbers = [float(value) for value in values if value]
        assert numbers == sorted(numbers, reverse=backwards)
        assert values[-1] == ""
    page.click("#by-slice thead th:nth-child(1) button")
    assert column(0) == sorted(column(0), key=str.lower)
    assert f"{contract.SITE}: {pages.SITES[0]}" in column(0)


def test_everything_is_reached_by_keyboard_and_seen_to_be(page):
    stops = []
    for _ in range(80):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate(
                """() => { const at = document.activeElement; const style = getComputedStyle(at);
                return [at.id || at.textContent.trim(), at.tagName, style.outlineStyle]; }"""
            )
        )
    names = {name for name, _, _ in stops}
    assert {"slider", "reset", "Model card", "AUC"} <= names
    assert {tag for _, tag, _ in stops} >= {"A", "INPUT", "BUTTON", "DIV", "SUMMARY"}
    assert all(outline != "none" for _, tag, outline in stops if tag != "BODY")


def test_a_picture_is_enlarged_to_1000_pixels_and_escape_closes_it(page):
    button = page.locator(".pictures button").first
    shown = button.locator("img").get_attribute("src")
    button.press("Enter")
    large = page.locator("dialog.zoom img")
    assert large.bounding_box()["width"] == 1000
    assert large.get_attribute("src") == shown
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    page.keyboard.press("Escape")
    assert not large.is_visible()


def test_marks_of_labels_are_downloaded_as_a_table(page):
    save = page.locator(".marks button")
    assert save.is_disabled()
    names = page.eval_on_selector_all(".marking select", "all => all.map(s => s.dataset.file)")
    twice = next(name for name in names if names.count(name) > 1)
    hostile = next(name for name in names if name in pages.FILES)
    for name, mark in ((twice, "wrong"), (hostile, "doubtful")):
        page.locator(".marking select").nth(names.index(name)).select_option(mark)
    values = page.eval_on_selector_all(".marking select", "all => all.map(s => s.value)")
    marked = {name for name, value in zip(names, values, strict=True) if value}
    assert marked == {twice, hostile}
    assert [v for n, v in zip(names, values, strict=True) if n == twice] == (
        ["wrong"] * names.count(twice)
    )  # the image has one mark, in whatever list it stands
    assert page.locator(".marks output").inner_text() == "2 marked"
    with page.expect_download() as download:
        save.click()
    assert download.value.suggested_filename.startswith("label-marks-")
    rows = {row["file"]: row for row in tables.read_table(str(download.value.path()))}
    assert rows.keys() == {twice, hostile}
    assert rows[hostile]["mark"] == "doubtful"
    assert {row["label"] for row in rows.values()} <= set(pages.CLASSES)
    assert 0 <= float(rows[twice]["score"]) <= 1


def test_on_paper_everything_is_open_and_fits(page):
    page.set_viewport_size({"width": 703, "height": 900})  # A4 with margins of 12 mm
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    widths = page.eval_on_selector_all(
        ".js-plotly-plot .main-svg", "svgs => svgs.map(svg => svg.getBoundingClientRect().width)"
    )
    assert 300 < max(widths) <= 703
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0

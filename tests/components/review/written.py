"""Pages as tests write them, and read them."""

import html.parser

from tests import pages
from tfxray.components.review.page import write_page


def write(folder, uris, config=None, **fields):
    path = folder / "review.html"
    text = pages.config() if config is None else config
    write_page(path, pages.run_summary(**fields), text, uris)
    return path.read_text()


class Tags(html.parser.HTMLParser):
    """The elements of a page and its text outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self._within = [], "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within not in ("script", "style"):
            self.text += data

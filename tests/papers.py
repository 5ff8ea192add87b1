"""The Markdown files of this repository: their links, their fenced blocks, the commands in these.

A block that is not to be run has an HTML comment on the line before, which a reader does not see:
`<!-- not run: REASON -->` for commands, `<!-- no config: REASON -->` for YAML.
"""

import dataclasses
import functools
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Commands that need what a test has not, or that set up what runs the test. Blocks hold them
# without a mark, since a reader sees the reason.
SKIPPED = {
    "make": "sets up, runs the demo or the tests: hours in all",
    ".": "opens the environment, which these commands are run in",
    "apt-get": "installs packages of the system",
    "pyenv": "builds a Python",
    "kubectl": "needs a cluster",
    "docker": "needs Docker",
    "gcloud": "needs an account at Google",
}
_PLACES = ("build", "data", "dist", "runs")  # of what is made here, and is no paper
_MARK = re.compile(r"\s*<!-- (?:not run|no config): (.*?) -->\s*")
_FENCE = re.compile(r"^(\s*)(`{3,})\s*(\w*)\s*$")
# The text may hold brackets, such as those of a picture.
_TEXT = r"\[(?:[^\]\[]|\[[^\]]*\](?:\([^)]*\))?)*\]"
_LINK = re.compile(rf"(?<!\\){_TEXT}\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Its file, below the root.
        line: Of its fence, from 1 on.
        language: After the fence.
        text: Between the fences, without their indentation.
        reason: Why it is not run or checked; None where it is. Empty where the mark says nothing.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"

    def commands(self) -> Iterator[str]:
        """The commands one by one: lines, with those that a backslash continues."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if shlex.split(line, comments=True):
                yield line.strip()


@functools.cache
def pages() -> tuple[str, ...]:
    """Every Markdown file, below the root. Git is not asked: a copy of the tree may have none."""
    found = []
    for path in ROOT.rglob("*.md"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part != ".github" for part in parts)
        if not hidden and parts[0] not in _PLACES:
            found.append("/".join(parts))
    return tuple(sorted(found))


def guides() -> tuple[str, ...]:
    """The pages whose commands are run, in the order in which a newcomer reads them."""
    docs = [page for page in pages() if page.startswith("docs/")]
    first = ["README.md", "docs/tutorial.md"]
    return (*first, *(page for page in docs if page not in first), "CONTRIBUTING.md")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    found = []
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        if opened := _FENCE.match(lines[number]):
            indent, fence, language = opened.groups()
            end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == fence)
            text = "\n".join(line.removeprefix(indent) for line in lines[number + 1 : end])
            mark = _MARK.fullmatch(lines[number - 1]) if number else None
            reason = mark[1].strip() if mark else None
            found.append(Block(page, number + 1, language, text + "\n", reason))
            number = end
        number += 1
    return found


def word(command: str) -> str:
    """The program that a command starts, without the environment's folder."""
    return shlex.split(command, comments=True)[0].removeprefix(".venv/bin/")


def _outside(page: str | Path) -> Iterator[str]:
    """The lines of a page that stand in no fenced block."""
    fence = ""
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        opened = _FENCE.match(line)
        if fence:
            fence = "" if line.strip() == fence else fence
        elif opened:
            fence = opened[2]
        else:
            yield line


def links(page: str) -> list[str]:
    """The targets of a page's links and pictures."""
    text = re.sub(r"`[^`\n]*`", "``", "\n".join(_outside(page)))
    inner = [target for part in re.findall(r"\[(!\[.*?\]\(.*?\))\]", text) for target in
             _LINK.findall(part)]  # fmt: skip
    return _LINK.findall(text) + inner


def anchors(page: str | Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for line in _outside(page):
        if heading := _HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def broken(page: str) -> Iterator[str]:
    """The links of a page within the repository that lead nowhere."""
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / page).parent / path if path else ROOT / page
        if not place.exists() or not place.resolve().is_relative_to(ROOT.resolve()):
            yield f"{page}: {target}: no such file"
        elif anchor and anchor not in anchors(place.resolve().relative_to(ROOT.resolve())):
            yield f"{page}: {target}: no such heading"

"""The site shows what the repository shows: its navigation, links, anchors and structure; and it fetches nothing."""

from __future__ import annotations

import importlib
import re
import socket
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
hooks = importlib.import_module("site_hooks")
build_site = importlib.import_module("build_site")

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / name for name in hooks.ROOT_PAGES)]
GENERATED = {"api.md", "cli.md"}
COUNTED = {
    "h1",
    "h2",
    "h3",
    "h4",
    "ul",
    "ol",
    "li",
    "table",
    "tr",
    "th",
    "td",
    "img",
    "a",
    "pre",
    "code",
    "em",
    "strong",
}


def test_sections_and_entries_come_from_the_headings_and_links_of_the_index() -> None:
    index = (
        "# Top\n\n[a](a.md)\n\n## One\n\n- [two words](x/b.md): text, [web](https://e.org/c.md)\n\n## Empty\n"
    )
    assert hooks.navigation(index) == [
        {"Start": ["index.md", {"A": "a.md"}]},
        {"One": [{"Two words": "x/b.md"}]},
    ]
    assert hooks.navigation("## R\n- [`c` log](../CHANGELOG.md)\n")[1] == {"R": [{"C log": "changelog.md"}]}


def test_every_page_is_in_the_navigation_once() -> None:
    named = [
        page
        for section in hooks.navigation((ROOT / "docs" / "index.md").read_text())
        for entry in next(iter(section.values()))
        for page in (entry.values() if isinstance(entry, dict) else [entry])
    ]
    there = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted([*there, *hooks.ROOT_PAGES.values()])


@pytest.mark.parametrize(
    ("page", "written", "shown"),
    [
        ("index.md", "[c](../CHANGELOG.md)", "[c](changelog.md)"),
        ("how-to/budget.md", "[r](../../README.md#speed)", "[r](../readme.md#speed)"),
        ("how-to/budget.md", "[r](report.md) and [s](../scale.md)", "[r](report.md) and [s](../scale.md)"),
        ("readme.md", "[t](docs/tutorial.md)", "[t](tutorial.md)"),
        ("readme.md", "![p](docs/images/report.png)", "![p](images/report.png)"),
        ("readme.md", "[d](docs/decisions/), [l](LICENSE)", "d, l"),
        ("readme.md", "[w](https://e.org/a), [h](#here)", "[w](https://e.org/a), [h](#here)"),
        ("index.md", "`[c](../CHANGELOG.md)`", "`[c](../CHANGELOG.md)`"),
        ("index.md", "[n](notebooks/choose-and-look.ipynb)", "n"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(page: str, written: str, shown: str) -> None:
    assert hooks.translate_links(written, page) == shown


def test_anchors_are_those_of_github() -> None:
    assert hooks.github_anchor("Options of `a`: b, c & d_e (F)") == "options-of-a-b-c--d_e-f"


class Structure(HTMLParser):
    """Count the elements of a page, and collect its links and anchors."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        values = dict(attrs)
        self.count[tag] += tag in COUNTED
        self.links += [values[name] or "" for name in ("href", "src") if name in values]
        self.anchors |= {values[name] or "" for name in ("id", "name") if name in values}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in GENERATED],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_page_has_one_structure_in_the_repository_and_on_the_site(page: Path) -> None:
    markdown = pytest.importorskip("markdown", reason="needs the extra docs")
    pytest.importorskip("pymdownx", reason="needs the extra docs")
    from markdown_it import MarkdownIt

    text = page.read_text()
    repository = Structure(MarkdownIt("commonmark").enable("table").render(text)).count
    site = Structure(
        markdown.markdown(text, extensions=["tables", "pymdownx.superfences", "attr_list"])
    ).count
    assert +repository == +site, "a list wants a blank line before it, and four columns to be nested"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the site asked the network while it was built")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_site_is_built_without_a_network_and_every_link_and_anchor_of_it_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("material", reason="needs the extra docs")
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    assert build_site.build(tmp_path) == len(PAGES) + 1  # and the page for what is not found
    pages = {path: Structure(path.read_text()) for path in tmp_path.rglob("*.html")}
    wrong = []
    for path, structure in pages.items():
        for link in structure.links:
            name, _, anchor = link.partition("#")
            if path.name == "404.html" or re.match(r"[a-z]+:|//", link):
                continue
            target = (path.parent / unquote(name.split("?")[0])).resolve() if name else path
            if not target.exists():
                wrong.append(f"{path.name}: {link}")
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
                wrong.append(f"{path.name}: no anchor for {link}")
    assert wrong == []
    assert "frame variance index" in (tmp_path / "search" / "search_index.json").read_text()


def test_what_a_browser_would_fetch_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="canonical" href="https://e.org/a"><a href="https://e.org/b">x</a><img src="c.png">'
        '<link rel="stylesheet" href="//e.org/d.css"><script src="https://e.org/e.js"></script>'
    )
    (tmp_path / "b.css").write_text('a{background:url("https://e.org/f.png")} b{background:url(g.png)}')
    assert build_site.foreign_fetches(tmp_path) == [
        "a.html: <link> //e.org/d.css",
        "a.html: <script> https://e.org/e.js",
        "b.css: https://e.org/f.png",
    ]

"""What MkDocs asks while it builds the site: the navigation, pages from the root folder, anchors like GitHub's.

Links are written for the plain repository, where ``docs/`` is a folder beside README.md. On the site the pages of the
root folder stand in for the files, so that the same link leads there in both.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LINK = re.compile(r"(?P<open>!?\[[^\]]*\]\()(?P<target>[^)\s]+)\)")
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


def github_anchor(title: str, separator: str = "-") -> str:
    """Return the anchor that GitHub gives a heading: lower case, letters, digits, ``_`` and one dash per space."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", separator)


def navigation(index: str) -> list[dict[str, Any]]:
    """Return the navigation that the index page spells out: a section per heading, an entry per link to a page."""
    sections: list[dict[str, Any]] = [{"Start": ["index.md"]}]
    for line in index.splitlines():
        if line.startswith("## "):
            sections.append({line[3:].strip(): []})
        for title, target in re.findall(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+\.md)\)", line):
            if not target.startswith("http"):
                entries = next(iter(sections[-1].values()))
                name = title.replace("`", "")
                entries.append({name[:1].upper() + name[1:]: site_page(target)})
    return [section for section in sections if next(iter(section.values()))]


def site_page(target: str) -> str:
    """Return where a page named by a link of ``docs/index.md`` stands on the site."""
    return ROOT_PAGES.get(target.removeprefix("../"), target) if target.startswith("../") else target


def translate_links(text: str, page: str) -> str:
    """Point links that leave ``docs/``, or come from a page of the root folder, at the pages of the site.

    ``page`` is the page's path on the site. A link to a file that the site does not have becomes its text.
    """
    is_root = page in ROOT_PAGES.values()
    folder = "" if is_root else posixpath.join("docs", posixpath.dirname(page))

    def translated(match: re.Match[str]) -> str:
        target, hash_, anchor = match["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return match[0]
        place = posixpath.normpath(posixpath.join(folder, target))
        if place in ROOT_PAGES:
            place = ROOT_PAGES[place]
        elif re.match("docs/(?!notebooks/)", place) and (ROOT / place).is_file():
            place = place.removeprefix("docs/")
        else:
            return match["open"].removeprefix("!")[1:-2]
        return f"{match['open']}{posixpath.relpath(place, posixpath.dirname(page) or '.')}{hash_}{anchor})"

    pieces = CODE.split(text)
    return "".join(piece if piece.startswith("`") else LINK.sub(translated, piece) for piece in pieces)


def on_config(config: Any) -> Any:
    """Take the navigation from the index page."""
    config.nav = navigation((ROOT / "docs" / "index.md").read_text())
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root folder."""
    from mkdocs.structure.files import File

    for source, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Translate the page's links."""
    return translate_links(markdown, page.file.src_uri)

"""Build the documentation site into site/: ``python scripts/build_site.py [--out DIR]``.

Stops at the first warning (a page that the index does not name, a link or an anchor that leads nowhere), and if a
page would fetch anything from elsewhere. Needs the extra ``docs``.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
LOADING_LINKS = {"stylesheet", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "icon"}


class Fetches(HTMLParser):
    """Collect what a browser would fetch from other machines to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address of whatever the element loads by itself."""
        values = dict(attrs)
        address = values.get(FETCHED.get(tag, ""))
        if tag == "link" and LOADING_LINKS & set((values.get("rel") or "").split()):
            address = values.get("href")
        if address and re.match(r"(https?:)?//", address):
            self.found.append(f"<{tag}> {address}")


def foreign_fetches(folder: Path) -> list[str]:
    """Return one line per page and address that it fetches from elsewhere, style sheets included."""
    lines = []
    for page in sorted(folder.rglob("*.html")):
        parser = Fetches()
        parser.feed(page.read_text())
        lines += [f"{page.relative_to(folder)}: {found}" for found in parser.found]
    for sheet in sorted(folder.rglob("*.css")):
        found = re.findall(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", sheet.read_text())
        lines += [f"{sheet.relative_to(folder)}: {address}" for address in found]
    return lines


def build(out: Path) -> int:
    """Build the site into ``out`` and return the number of its pages."""
    from mkdocs.commands.build import build as build_pages
    from mkdocs.config import load_config

    sys.path.insert(0, str(Path(__file__).resolve().parent))
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out))
    config.plugins.on_startup(command="build", dirty=False)
    build_pages(config)
    fetched = foreign_fetches(out)
    if fetched:
        raise SystemExit("the site would fetch from elsewhere:\n" + "\n".join(fetched))
    return len(list(out.rglob("*.html")))


def main() -> None:
    """Build, and say how much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "site")
    out = parser.parse_args().out
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    print(f"{build(out)} pages in {out}")


if __name__ == "__main__":
    main()

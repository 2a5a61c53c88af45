"""Read XML that nobody vouches for: no document type, hence no entities and nothing fetched; no depth without end."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from evfr.errors import AnnotationError

__all__ = ["parse_xml", "tag"]

_DEEPEST = 50
_ILLEGAL = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def parse_xml(data: bytes, path: str | Path) -> Element:
    """Return the root element of an XML file.

    Parameters
    ----------
    data : bytes
        The file.
    path : str or Path
        Its name, for the error's text.

    Returns
    -------
    Element
        The whole tree.

    Raises
    ------
    AnnotationError
        If it is no well-formed XML, has a document type (which could define entities or name other files), or is
        nested more than 50 deep.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def refuse(*_: object) -> None:
        raise AnnotationError(
            f"{path} has a document type (DOCTYPE), which label files have no need of and which can hide entities that "
            "swell or read other files; remove it if you trust the file"
        )

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise AnnotationError(f"{path} is nested more than {_DEEPEST} elements deep")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise AnnotationError(f"{path} is no well-formed XML: {error}") from error
    return builder.close()


def tag(name: str, attributes: dict[str, str], text: str | None = None, *, is_open: bool = False) -> str:
    """Return one element as text: with text, empty, or open for children.

    Raises
    ------
    AnnotationError
        If a value has a character that XML cannot hold, or that does not come back as it went in (a line break).
    """
    for value in (*attributes.values(), text or ""):
        if _ILLEGAL.search(value):
            raise AnnotationError(
                f"the text {value[:60]!r} has a control character, which CVAT's XML cannot hold"
            )
    head = name + "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    if is_open:
        return f"<{head}>"
    return f"<{head}/>" if text is None else f"<{head}>{escape(text)}</{name}>"

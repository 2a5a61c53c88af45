"""Find the names of classes in a YOLO ``data.yaml`` without a YAML library: the three ways that they are written."""

from __future__ import annotations

import re

from evfr.errors import AnnotationError

__all__ = ["yaml_names"]


def yaml_names(text: str, where: str) -> dict[int, str]:
    """Return the names of classes by number.

    Parameters
    ----------
    text : str
        The file: ``names: [a, 'b c']``, or below ``names:`` lines ``- a`` or ``0: a``. Quotes and comments are
        understood; anchors, tags and several documents are not.
    where : str
        For errors.

    Returns
    -------
    dict of int to str
        Class number to name.

    Raises
    ------
    AnnotationError
        If there is no ``names:``, or it is written in another way.
    """
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        raise AnnotationError(f"{where} has no names:; give names= to the reader")
    rest = _bare(lines[start].split(":", 1)[1])
    if rest.startswith(("[", "{")):
        flow = "\n".join([rest, *lines[start + 1 :]])
        return _flow(flow, where)
    if rest:
        raise _strange(rest, where)
    block: list[str] = []
    for line in lines[start + 1 :]:
        bare = _bare(line)
        if not bare:
            continue
        if not line.startswith((" ", "\t")) and not bare.startswith("-"):
            break
        block.append(bare)
    names: dict[int, str] = {}
    for line in block:
        item = re.fullmatch(r"-\s+(.+)", line)
        pair = re.fullmatch(r"['\"]?(\d{1,9})['\"]?\s*:\s+(.+)", line)
        if item is not None:
            names[len(names)] = _unquoted(item[1], where)
        elif pair is not None and int(pair[1]) not in names:
            names[int(pair[1])] = _unquoted(pair[2], where)
        else:
            raise _strange(line, where)
    return names


def _flow(text: str, where: str) -> dict[int, str]:
    """Read ``[a, b]`` or ``{0: a, 1: b}``, which may span lines."""
    close = "]" if text[0] == "[" else "}"
    items, item, place = [], "", 1
    while True:
        char = text[place : place + 1]
        if char == "" or (char in "[]{}" and char != close):
            raise _strange(text[place - len(item) :], where)
        if char in "'\"":
            end = _end_of_quotes(text, place)
            if end is None:
                raise _strange(text[place:], where)
            item += text[place:end]
            place = end
            continue
        place += 1
        if char == "#" and text[place - 2].isspace():
            newline = text.find("\n", place)
            place = len(text) if newline < 0 else newline
        elif char in (",", close):
            if item.strip():
                items.append(item.strip())
            elif char == ",":
                raise _strange(text[place - 1 :], where)
            item = ""
            if char == close:
                break
        else:
            item += char
    if text[0] == "[":
        return {number: _unquoted(item, where) for number, item in enumerate(items)}
    names = {}
    for item in items:
        pair = re.fullmatch(r"['\"]?(\d{1,9})['\"]?\s*:\s*(.+)", item, re.DOTALL)
        if pair is None or int(pair[1]) in names:
            raise _strange(item, where)
        names[int(pair[1])] = _unquoted(pair[2], where)
    return names


def _bare(line: str) -> str:
    """Return a line without comment and spaces around; a ``#`` inside quotes or a word is no comment."""
    place, last = 0, ""  # the last character before that is no space
    while place < len(line):
        char = line[place]
        opens = char in "'\"" and (not last or last in "[{,:-")
        if opens and (end := _end_of_quotes(line, place)) is not None:
            place, last = end, char
            continue
        if char == "#" and (place == 0 or line[place - 1].isspace()):
            return line[:place].strip()
        if not char.isspace():
            last = char
        place += 1
    return line.strip()


def _end_of_quotes(text: str, place: int) -> int | None:
    """Return the place after the quoted text that begins at ``place``; None where it does not end."""
    quote, place = text[place], place + 1
    while place < len(text):
        if text[place] == "\\" and quote == '"':
            place += 2
        elif text[place] != quote:
            place += 1
        elif quote == "'" and text[place + 1 : place + 2] == "'":
            place += 2
        else:
            return place + 1
    return None


def _unquoted(text: str, where: str) -> str:
    text = text.strip()
    if text.startswith("'"):
        if re.fullmatch(r"'(?:[^']|'')*'", text) is None:
            raise _strange(text, where)
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        if re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', text) is None:
            raise _strange(text, where)
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text[:1] in "[{&*!|>%@`" or ": " in text:
        raise _strange(text, where)
    return text


def _strange(text: str, where: str) -> AnnotationError:
    return AnnotationError(f"{where}: names: cannot be read at {text[:60]!r}; give names= to the reader")

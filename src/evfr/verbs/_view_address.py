"""Read the words of an address and the JSON of a body; refuse what is none, in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.verbs._view_session import ViewSession

__all__ = ["Refused", "place_of", "read_json", "whole"]


class Refused(Exception):
    """A request that cannot be answered: status, and one sentence for the page."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def whole(words: Mapping[str, str], name: str, default: int | None, low: int, high: int) -> int:
    """Return a whole number out of the address.

    Parameters
    ----------
    words : mapping of str to str
        The address's words.
    name : str
        Which.
    default : int or None
        Where it is left out; None refuses that.
    low, high : int
        Smallest and largest allowed.

    Returns
    -------
    int
        In [low, high].

    Raises
    ------
    Refused
        If it is no such number.
    """
    text = words.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        raise Refused(422, f"{name} must be a whole number from {low} to {high}, got {(text or '')[:40]!r}")
    return int(text)


def place_of(session: ViewSession, words: Mapping[str, str]) -> int:
    """Return the place of a video out of the address; `Refused` with 404 if there is none."""
    text = words["place"]
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) >= len(session):
        raise Refused(404, f"there is no video {text[:40]!r}; places go from 0 to {len(session) - 1}")
    return int(text)


def read_json(data: bytes) -> Any:
    """Read a request's JSON: no NaN, no number that no field could mean, no depth that ends the process.

    Parameters
    ----------
    data : bytes
        The body.

    Returns
    -------
    object
        What it says.

    Raises
    ------
    Refused
        If it is no such JSON.
    """

    def refuse(text: str) -> Any:
        raise Refused(400, f"the number {text[:20]} is not allowed")

    def integer(text: str) -> int:
        return int(text) if len(text) <= 20 else refuse(text)

    def real(text: str) -> float:
        value = float(text)
        return value if abs(value) < 1e300 else refuse(text)

    try:
        return json.loads(data, parse_int=integer, parse_float=real, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the request is no readable JSON ({type(error).__name__})") from error

"""Answer a shell that asks what may come next: typer does the talking, this prepares what it needs.

The shell puts the line typed so far into variables; which options there are depends on the command and the method
in that line, so they are read before the application is built.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, MutableMapping

from evfr._core.signature import ParameterSpec

__all__ = ["COMPLETE_VARIABLE", "complete_choices", "hint", "typed_words"]

COMPLETE_VARIABLE = "_EVFR_COMPLETE"
HINT_LENGTH = 60


def typed_words(environment: MutableMapping[str, str] = os.environ) -> list[str]:
    """Return the complete words of the line that a shell wants continued, without the program's name.

    Bash hands ``--method=far`` over as three words; the lone ``=`` is taken out of its variables here.

    Parameters
    ----------
    environment : mutable mapping of str to str
        Variables that the shell's script has set.

    Returns
    -------
    list of str
        Empty where the line cannot be split, as inside an open quote.
    """
    try:
        if "COMP_WORDS" in environment:
            words = environment["COMP_WORDS"].split("\n")
            at = int(environment.get("COMP_CWORD", "0"))
            lone = [
                i for i, word in enumerate(words) if word == "=" and i < at and words[i - 1].startswith("--")
            ]
            if words[at : at + 1] == ["="]:
                words[at] = ""
            words = [word for i, word in enumerate(words) if i not in lone]
            at -= len(lone)
            environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(words), str(at)
            return shlex.split("\n".join(words[1:at]))
        line = environment.get("_TYPER_COMPLETE_ARGS", "")
        words = shlex.split(line)
        return words[1:] if line.endswith(" ") else words[1:-1]
    except ValueError:
        return []


def complete_choices(spec: ParameterSpec) -> Callable[[str], list[str]] | None:
    """Return a function from what is typed of a value to the values that go on from there.

    Parameters
    ----------
    spec : ParameterSpec
        The parameter.

    Returns
    -------
    callable or None
        None where any text may stand: the shell then offers files.
    """
    if not spec.choices:
        return None

    def complete(incomplete: str) -> list[str]:
        head = ""
        if spec.is_sequence and not spec.is_argument:
            head = incomplete[: incomplete.rfind(",") + 1]
        given = head.split(",")
        words = [*spec.choices, *["none"] * spec.takes_none]
        return [head + word for word in words if word not in given]

    return complete


def hint(text: str) -> str:
    """Return the start of a help text, short enough for a shell's list of options.

    Examples
    --------
    >>> hint("How many: leaving it out asks --ratio. More text.")
    'How many'
    """
    start = re.split(r"[.:;](?:\s|$)", text, maxsplit=1)[0].split("\n")[0]
    return start if len(start) <= HINT_LENGTH else f"{start[: HINT_LENGTH - 3].rstrip()}..."

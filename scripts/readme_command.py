"""Print a command exactly as README.md prints it: the code block after ``<!-- NAME -->``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def readme_command(name: str, text: str | None = None) -> str:
    """Return the code block that follows the marker ``name`` in the README.

    Parameters
    ----------
    name : str
        ``"run"`` or ``"test"``.
    text : str or None
        Markdown to look in; None reads README.md.

    Returns
    -------
    str
        The block's lines, without the fence.

    Raises
    ------
    LookupError
        If there is not exactly one such block.
    """
    text = README.read_text() if text is None else text
    found = re.findall(rf"<!-- {re.escape(name)} -->\n+```\w*\n(.*?)\n```", text, re.DOTALL)
    if len(found) != 1:
        raise LookupError(f"README.md has {len(found)} code blocks marked '<!-- {name} -->', wanted 1")
    return str(found[0])


if __name__ == "__main__":
    print(readme_command(sys.argv[1]))

"""An experiment's results as one HTML page that opens offline."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evfr.experiments._report_text import KINDS, arm_rows, no_signal, of_clips

if TYPE_CHECKING:
    from evfr.experiments._plan import Plan
    from evfr.experiments._table import ArmSummary, Judged

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #8886; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.word { display: inline-block; min-width: 6.5rem; font-weight: 600; }
.better, .not-worse { color: #007a55; } .worse { color: #b84300; } .undecided { color: #666; }
@media (prefers-color-scheme: dark) {
  .better, .not-worse { color: #4cc99a; } .worse { color: #ff9055; } .undecided { color: #aaa; }
}
.notice { border-left: 4px solid #d55e00; padding: .5rem 1rem; background: #d55e0018; }
ul { padding-left: 1.2rem; } li { margin: .2rem 0; } img { max-width: 100%; background: #fff; }
dt { font-weight: 600; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
"""


def page(
    plan: Plan,
    summaries: Sequence[ArmSummary],
    verdicts: Sequence[Judged],
    *,
    score: str,
    margin: float,
    done: int,
    facts: Sequence[tuple[str, str]],
    figures: Sequence[Path] = (),
) -> str:
    """Return the report as a page of its own style, without script.

    Parameters
    ----------
    plan, summaries, verdicts, score, margin, done, facts
        As of `evfr.experiments._report_text.markdown`.
    figures : sequence of Path
        PNG files, put into the page.

    Returns
    -------
    str
        ASCII.
    """
    title = f"Experiment: {plan.protocol} with {plan.model}"
    parts = [f"<h1>{_text(title)}</h1>"]
    if done < len(plan.cells):
        parts.append(
            f'<p class="notice">Unfinished: {done} of {len(plan.cells)} cells. Every figure may still change.</p>'
        )
    parts.append("<dl>" + "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts) + "</dl>")
    for test in plan.tests:
        parts.append(f"<h2>Test: {_text(test)} videos</h2>")
        if text := no_signal(summaries, test):
            parts.append(f'<p class="notice">{_text(text)}</p>')
        parts.append(_table([item for item in summaries if item.test == test], score))
        for kind, heading in KINDS.items():
            mine = [item for item in verdicts if item.test == test and item.kind == kind]
            if mine:
                rows = "".join(f"<li>{_verdict(item)}</li>" for item in mine)
                parts.append(f"<h3>{_text(heading)}</h3><ul>{rows}</ul>")
    for path in figures:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        parts.append(f'<p><img alt="{_text(path.stem)}" src="data:image/png;base64,{data}"></p>')
    parts.append(
        f"<p>Scores are {_text(score)}; intervals are 95&nbsp;% over seeds and test clips. &ldquo;Not worse&rdquo; is: "
        f"the one-sided 95&nbsp;% bound lies above &minus;{margin:g}, the margin of the plan. Arms share seeds, and "
        "differences are paired. Each verdict stands alone: with many of them, some are wrong.</p>"
    )
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>"
    )
    whole = head + "\n".join(parts) + "</body></html>\n"
    return whole.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _table(summaries: Sequence[ArmSummary], score: str) -> str:
    if not summaries:
        return "<p>No cell is done.</p>"
    head, *rows = arm_rows(summaries, score)
    parts = ["".join(f"<th>{_text(cell)}</th>" for cell in head)]
    parts += ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    return f'<div class="scroll"><table><tr>{"</tr><tr>".join(parts)}</tr></table></div>'


def _verdict(item: Judged) -> str:
    word = item.verdict.word
    text = item.verdict.text.removeprefix("undecided: ") + of_clips(item)
    return f'<span class="word {word.replace(" ", "-")}">{_text(word)}</span> {_text(text)}'


def _text(text: str) -> str:
    return html.escape(text)

"""The page's samplers against the Python ones: equal picks and shares, over hundreds of drawn cases."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evfr.errors import ConstraintError
from evfr.reports import SelectionReport, VideoReport
from evfr.sampling import SAMPLERS, Constraints, allocate, sample
from helpers.browser import Opened
from helpers.report_data import selection_report, video_report
from helpers.sampling_cases import cases

RULES = ("uniform", "systematic", "auto")


def weights_of(rng: np.random.Generator, total: int) -> NDArray[np.float64]:
    """Return weights of one of several kinds: even, spiky, with zeros, NaN, ties, huge or tiny."""
    kind = rng.integers(8)
    values = rng.gamma(rng.choice([0.05, 0.5, 5.0]), 1.0, total)
    if kind == 0:
        values = np.ones(total)
    elif kind == 1:
        values = np.zeros(total)
    elif kind == 2:
        values[rng.random(total) < 0.6] = 0.0
    elif kind == 3:
        values[rng.random(total) < 0.3] = np.nan
    elif kind == 4:
        values = rng.integers(0, 4, total).astype(np.float64)
    elif kind == 5:
        values = values * 1e200
    elif kind == 6:
        values = values * 1e-300
    return values


def options_of(rng: np.random.Generator, method: str) -> dict[str, Any]:
    """Return options as a user may give them: some, none, extremes."""
    options: dict[str, Any] = {}
    if method == "uniform" and rng.random() < 0.7:
        options["start"] = str(rng.choice(["first", "middle", "random"]))
    if method == "systematic" and rng.random() < 0.5:
        options["start"] = str(rng.choice(["centre", "random"]))
    if method in ("systematic", "auto"):
        if rng.random() < 0.5:
            options["mixing"] = float(rng.choice([0.0, 0.3, 0.5, 0.999, rng.random()]))
        if rng.random() < 0.5:
            options["power"] = float(rng.choice([0.0, 0.5, 1.0, 2.0]))
    if method == "auto" and rng.random() < 0.5:
        options["threshold"] = float(rng.choice([0.0, 0.5, 2.0, rng.random()]))
    return options


def case(seed: int) -> dict[str, Any]:
    """Draw one report of 1 to 5 videos: method, options, constraints, budget, pins."""
    rng = np.random.default_rng(seed)
    method = str(rng.choice([*RULES, "adaptive", "random"]))
    options = options_of(rng, method)
    videos = []
    for _ in range(int(rng.integers(1, 6))):
        total = int(rng.choice([1, 2, 3, 7, 40, 400, int(rng.integers(1, 300))]))
        selectable = rng.random(total) < rng.choice([0.0, 0.7, 1.0, 1.0, 1.0])
        frames = rng.permutation(np.flatnonzero(selectable))
        share = [int(rng.integers(0, 1 + min(4, len(frames) // 4))) for _ in range(4)]
        bounds = np.cumsum([0, *share])
        parts = [sorted(frames[a:b].tolist()) for a, b in itertools.pairwise(bounds)]
        n_cuts = int(rng.integers(0, 1 + min(6, total - 1)))
        cuts = np.sort(rng.choice(np.arange(1, total), n_cuts, replace=False)) if n_cuts else np.zeros(0)
        videos.append(
            {
                "total": total,
                "weights": weights_of(rng, total),
                "selectable": selectable,
                "include": parts[0],
                "exclude": parts[1],
                "labeled": parts[2] if rng.random() < 0.3 else [],
                "pins": parts[3],
                "left_out": sorted(rng.choice(frames, min(len(frames), 3), replace=False).tolist())
                if rng.random() < 0.3
                else [],
                "cuts": cuts.astype(np.int64),
                "seconds": float(rng.choice([total * 0.04, rng.random() * 100, 1.0])),
                "activity": float(rng.choice([0.0, rng.random(), 3.0])),
                "seed": int(rng.integers(2**62)),
            }
        )
        own = videos[-1]
        taken = {*own["include"], *own["exclude"], *own["labeled"], *own["pins"]}
        own["left_out"] = [frame for frame in own["left_out"] if frame not in taken]
    return {
        "method": method,
        "options": options,
        "videos": videos,
        "rule": str(rng.choice(["duration", "equal", "activity"])),
        "minimum": None if rng.random() < 0.85 else int(rng.integers(0, 4)),
        "maximum": None if rng.random() < 0.85 else int(rng.integers(1, 90)),
        "share": float(rng.choice([0.0, 0.02, 0.1, 0.5, 1.0])),
    }


def eligible(video: dict[str, Any], *more: str) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = video["selectable"].copy()
    for name in ("exclude", "labeled", *more):
        mask[video[name]] = False
    return mask


def by_python(drawn: dict[str, Any], n: int) -> list[list[int]] | None:
    """Return the picks of `evfr select --from` with the page's edits; None where it refuses."""
    usable = [video for video in drawn["videos"] if video["selectable"].any()]
    wanted = [sorted({*video["include"], *video["pins"]}) for video in usable]
    most = [int(eligible(video, "left_out").sum()) for video in usable]
    floor = drawn["minimum"] if drawn["minimum"] is not None else int(n >= len(usable))
    low = [
        max(len(own), floor if drawn["minimum"] is not None else min(floor, high))
        for own, high in zip(wanted, most, strict=True)
    ]
    high = [min(count, drawn["maximum"]) if drawn["maximum"] is not None else count for count in most]
    found: list[list[int]] = []
    try:
        shares = allocate(
            n,
            [video["seconds"] for video in usable],
            [video["activity"] for video in usable],
            rule=drawn["rule"],
            minimum=low,
            maximum=high,
        )
    except ConstraintError:
        return None
    row = 0
    for video in drawn["videos"]:
        if not video["selectable"].any():
            found.append([])
            continue
        result = sample(
            drawn["method"],
            video["weights"],
            int(shares[row]),
            seed=video["seed"],
            constraints=Constraints(
                include=tuple(wanted[row]),
                exclude=tuple(sorted([*video["exclude"], *video["left_out"]])),
                labeled=tuple(video["labeled"]),
                selectable=video["selectable"],
            ),
            options=drawn["options"],
            cuts=video["cuts"],
        )
        found.append(result.indices.tolist())
        row += 1
    return found


def reports(drawn: dict[str, Any]) -> SelectionReport:
    """Return the report that the first selection, without edits, would have written."""
    videos: list[VideoReport] = []
    for place, video in enumerate(drawn["videos"]):
        whole = sample(
            drawn["method"],
            video["weights"],
            len(video["include"]),
            seed=video["seed"],
            constraints=Constraints(
                include=tuple(video["include"]),
                exclude=tuple(video["exclude"]),
                labeled=tuple(video["labeled"]),
                selectable=video["selectable"],
            ),
            options=drawn["options"],
            cuts=video["cuts"],
        )
        videos.append(
            video_report(
                f"v{place}",
                n_frames=video["total"],
                n=0,
                with_thumbnails=False,
                is_suspect=~video["selectable"],
                is_selectable=video["selectable"],
                method=drawn["method"],
                weights=video["weights"],
                options=drawn["options"],
                order=whole.order,
                cuts=video["cuts"],
                segments=(),
                include=tuple(video["include"]),
                exclude=tuple(video["exclude"]),
                labeled=tuple(video["labeled"]),
                size=video["seconds"],
                allocation_activity=video["activity"],
                seed=video["seed"],
            )
        )
    return selection_report(
        tuple(videos),
        method=drawn["method"],
        allocation=drawn["rule"],
        minimum=drawn["minimum"],
        maximum=drawn["maximum"],
    )


@pytest.fixture
def page(show: Callable[..., Opened]) -> Any:
    return show(selection_report((video_report(n_frames=3, n=1, with_thumbnails=False),))).page


def load(page: Any, report: SelectionReport) -> None:
    """Put another report's values behind the open page's state, by the page's own reader."""
    from evfr.reports._encode import encode_report, encode_video
    from evfr.reports._page import block_text

    blocks = {"evfr-report": block_text(encode_report(report))}
    blocks |= {f"evfr-video-{k}": block_text(encode_video(video)) for k, video in enumerate(report.videos)}
    page.evaluate(
        """(blocks) => {
            document.querySelectorAll('script[type="application/json"]').forEach((node) => node.remove());
            for (const [id, text] of Object.entries(blocks)) {
                const node = document.createElement('p');
                node.id = id;
                node.hidden = true;
                node.className = 'block';
                node.textContent = text;
                document.body.append(node);
            }
            window.loaded = evfrData.load();
            document.querySelectorAll('p.block').forEach((node) => node.remove());
        }""",
        blocks,
    )


def in_page(page: Any, drawn: dict[str, Any], n: int) -> Any:
    return page.evaluate(
        """([n, pins, leftOut]) => {
            const items = window.loaded.videos.map((video, i) =>
                ({ video, pins: new Set(pins[i]), leftOut: new Set(leftOut[i]) }));
            try {
                return evfrBudget.choose(window.loaded, n, items).map((picks) => Array.from(picks));
            } catch (error) {
                return error.message;
            }
        }""",
        [n, [v["pins"] for v in drawn["videos"]], [v["left_out"] for v in drawn["videos"]]],
    )


def test_page_and_python_choose_the_same(page: Any) -> None:
    compared = refused = 0
    methods = set()
    for seed in range(200):
        drawn = case(seed)
        if not any(video["selectable"].any() for video in drawn["videos"]):
            continue
        report = reports(drawn)
        load(page, report)
        most = sum(int(eligible(video, "left_out").sum()) for video in drawn["videos"])
        for n in {round(most * drawn["share"]), min(most, 3)}:
            wanted = by_python(drawn, n)
            got = in_page(page, drawn, n)
            if wanted is None:
                assert isinstance(got, str), (seed, n)
                refused += 1
            elif isinstance(got, str):
                assert "drawn anew" in got and drawn["method"] == "uniform", (seed, n, got)
                assert any(video["left_out"] for video in drawn["videos"])
            else:
                assert got == wanted, (seed, n, drawn["method"], drawn["options"])
                compared += 1
                methods.add(drawn["method"])
    assert methods == {*RULES, "adaptive", "random"}
    assert compared >= 150
    assert refused >= 10


@pytest.mark.parametrize("rule", ["duration", "equal", "activity"])
def test_allocation_is_the_same(page: Any, rule: str) -> None:
    rng = np.random.default_rng(7)
    cases, wanted = [], []
    while len(cases) < 300:
        count = int(rng.integers(1, 12))
        sizes = rng.choice([0.0, 1.0, 1.0, rng.random() * 1e3, rng.random()], count) * rng.choice(
            [1.0, 1e-9, 1e9]
        )
        activity = rng.choice([0.0, rng.random(), 5.0, np.nan], count)
        low = rng.integers(0, 5, count)
        high = low + rng.integers(0, 60, count)
        total = int(rng.integers(int(low.sum()), int(high.sum()) + 1))
        cases.append(
            [total, sizes.tolist(), np.nan_to_num(activity).tolist(), rule, low.tolist(), high.tolist()]
        )
        wanted.append(allocate(total, sizes, activity, rule=rule, minimum=low, maximum=high).tolist())
    assert page.evaluate("(cases) => cases.map((c) => evfrSampling.allocate(...c))", cases) == wanted


def test_page_defaults_are_the_signatures_defaults(page: Any) -> None:
    for method, defaults in page.evaluate("evfrBudget.DEFAULTS").items():
        parameters = inspect.signature(SAMPLERS[method]).parameters
        own = {
            name: parameter.default
            for name, parameter in parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY and name not in ("seed", "cuts", "stride")
        }
        assert defaults == own


def test_dynamicity_decides_at_the_same_threshold(page: Any) -> None:
    from evfr.sampling._auto import shot_dynamicity

    rng = np.random.default_rng(3)
    arrays = [weights_of(rng, int(rng.integers(1, 60))) for _ in range(200)]
    wanted = [shot_dynamicity(values) for values in arrays]
    got = page.evaluate(
        "(arrays) => arrays.map((a) => evfrSampling.dynamicity(a.map((x) => (x === null ? NaN : x))))",
        [[None if math.isnan(x) else x for x in values.tolist()] for values in arrays],
    )
    assert got == wanted


def test_a_planted_error_is_seen(page: Any) -> None:
    """Shift the page's systematic point by half a step: the comparison above would go red."""
    drawn = next(
        d for d in map(case, range(400)) if d["method"] == "systematic" and d["videos"][0]["total"] > 100
    )
    for video in drawn["videos"]:
        video["left_out"] = video["pins"] = []
    load(page, reports(drawn))
    page.evaluate(
        "window.loaded.videos.forEach((v) => { v.options = { start: 'random' }; v.drawn = [0, 1]; })"
    )
    n = sum(int(eligible(video).sum()) for video in drawn["videos"]) // 10
    assert in_page(page, drawn, n) != by_python({**drawn, "options": {}}, n)


def test_golden_cases_of_the_samplers(page: Any) -> None:
    """Replay the vectors that the sampling family draws for other implementations."""
    drawn = cases(seed=11, count=150)
    for one in drawn:
        if one["method"] == "allocate":
            count = len(one["durations"])
            one["minimum"] = one["minimum"] or [0] * count
            one["maximum"] = one["maximum"] or [one["total"]] * count
    found = page.evaluate(
        """(cases) => cases.map((c) => {
            if (c.method === 'allocate') {
                return evfrSampling.allocate(c.total, c.durations, c.activities, c.rule, c.minimum, c.maximum);
            }
            const video = {
                weights: Float64Array.from(c.weights, (w) => (w === null ? NaN : w)),
                isSelectable: Uint8Array.from(c.selectable),
                order: c.order === null ? null : Int32Array.from(c.order),
                cuts: Int32Array.from(c.cuts),
                options: c.options, include: c.include, exclude: c.exclude, labeled: c.labeled, drawn: null,
            };
            return Array.from(evfrBudget.one(video, c.method, c.n, evfrBudget.bounds(video, [], [])));
        })""",
        drawn,
    )
    for number, (got, one) in enumerate(zip(found, drawn, strict=True)):
        assert got == one["expected"], (number, one["method"])


@pytest.mark.parametrize(("units", "wanted"), [(0.75, [0]), (0.25, [1]), (-0.25, [1])])
def test_grid_is_rounded_to_the_nearest(page: Any, units: float, wanted: list[int]) -> None:
    """Put the first cumulative probability a fraction of a grid unit beside the point, where rounding decides."""
    share = (0.5 + units / 2**24 - 0.0005) / 0.999
    weights = [share, 1.0 - share]
    assert (
        sample("systematic", weights, 1, options={"mixing": 0.999, "power": 1.0}).indices.tolist() == wanted
    )
    assert page.evaluate("(w) => evfrSampling.systematic(w, 1, 0.999, 1, 2 ** 23)", weights) == wanted

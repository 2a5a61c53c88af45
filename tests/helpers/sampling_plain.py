"""The samplers' documented steps in plain loops over doubles, without numpy: what the report's page does.

Written from the numbered steps of the docstrings alone, so it also proves that those steps are complete.
"""

from __future__ import annotations

import itertools
import math

GRID = 2**24


def plain_uniform(n_frames: int, n: int, phase: int) -> list[int]:
    return [math.floor((k * n_frames + phase) / n) for k in range(n)]


def plain_systematic(
    weights: list[float | None], n: int, mixing: float, power: float, point: int
) -> list[int]:
    total = len(weights)
    if n == 0:
        return []
    clean = [0.0 if w is None or math.isnan(w) else w for w in weights]
    largest = 0.0
    for w in clean:
        largest = max(largest, w)
    density = []
    if largest > 0 and mixing > 0:
        for w in clean:
            r = w / largest
            density.append(math.sqrt(r) if power == 0.5 else r if power == 1 else r**power)
        whole = 0.0
        for v in density:
            whole += v
        spread = [(1 - mixing) / total + (mixing * v) / whole for v in density]
    else:
        spread = [1 / total] * total
    capped = [False] * total
    chance = [1.0] * total
    while True:
        rest = 0.0
        for i in range(total):
            if not capped[i]:
                rest += spread[i]
        if rest <= 0:
            break
        scale = (n - sum(capped)) / rest
        added = False
        before = list(capped)
        for i in range(total):
            if before[i]:
                continue
            chance[i] = scale * spread[i]
            if chance[i] >= 1:
                chance[i] = 1.0
                capped[i] = True
                added = True
        if not added:
            break
    running, lag, picks, k = 0.0, 0, [], 0
    for i in range(total):
        running += chance[i]
        lag = min(lag, math.floor(running * GRID + 0.5) - (i + 1) * GRID)
        cumulative = min(max(lag, (n - total) * GRID) + (i + 1) * GRID, n * GRID)
        while k < n and cumulative > point + k * GRID:
            picks.append(i)
            k += 1
    return picks


def plain_allocate(
    total: int,
    durations: list[float],
    activities: list[float] | None,
    rule: str,
    minimum: list[int] | None,
    maximum: list[int] | None,
) -> list[int]:
    count = len(durations)
    low = minimum or [0] * count
    high = maximum or [total] * count
    if rule == "equal":
        share = [1.0] * count
    elif rule == "duration":
        share = list(durations)
    else:
        assert activities is not None
        share = [math.sqrt(activities[i] * durations[i]) for i in range(count)]
    result: list[int | None] = [None] * count
    ideal = [0.0] * count
    while True:
        free = [i for i in range(count) if result[i] is None]
        if not free:
            break
        rest = total - sum(r for r in result if r is not None)
        whole = 0.0
        for i in free:
            whole += share[i]
        if whole <= 0:
            share = list(durations)
            for i in free:
                whole += share[i]
            if whole <= 0:
                share = [1.0] * count
                whole = float(len(free))
        missing, surplus = 0.0, 0.0
        for i in free:
            ideal[i] = (rest * share[i]) / whole
            if ideal[i] < low[i]:
                missing += low[i] - ideal[i]
            if ideal[i] > high[i]:
                surplus += ideal[i] - high[i]
        if missing == 0 and surplus == 0:
            break
        excess = missing - surplus
        for i in free:
            if excess >= 0 and ideal[i] < low[i]:
                result[i] = low[i]
            elif excess <= 0 and ideal[i] > high[i]:
                result[i] = high[i]
    free = [i for i in range(count) if result[i] is None]
    final = [math.floor(ideal[i]) if r is None else r for i, r in enumerate(result)]
    free.sort(key=lambda i: (-(ideal[i] - math.floor(ideal[i])), i))
    left = total - sum(final)
    while left > 0:
        for i in free:
            if left > 0 and final[i] < high[i]:
                final[i] += 1
                left -= 1
    while left < 0:
        for i in reversed(free):
            if left < 0 and final[i] > low[i]:
                final[i] -= 1
                left += 1
    return final


def plain_dynamicity(weights: list[float | None]) -> float:
    values = [w for w in weights[:-1] if w is not None and not math.isnan(w)]
    total = 0.0
    for w in values:
        total += w
    if total <= 0:
        return 0.0
    mean = total / len(values)
    squares = 0.0
    for w in values:
        squares += (w - mean) * (w - mean)
    return math.sqrt(squares / len(values)) / mean


def plain_auto(
    weights: list[float | None], n: int, cuts: list[int], threshold: float, mixing: float, power: float
) -> list[int]:
    if not weights:
        return []
    edges = [0, *cuts, len(weights)]
    lengths = [b - a for a, b in itertools.pairwise(edges)]
    count = len(lengths)
    if n < count:
        shares = plain_allocate(n, [float(x) for x in lengths], None, "duration", [0] * count, [1] * count)
    else:
        shares = plain_allocate(n, [float(x) for x in lengths], None, "duration", [1] * count, lengths)
    picks = []
    for k in range(count):
        shot = weights[edges[k] : edges[k + 1]]
        if plain_dynamicity(shot) < threshold:
            chosen = plain_uniform(len(shot), shares[k], len(shot) // 2)
        else:
            chosen = plain_systematic(shot, shares[k], mixing, power, GRID // 2)
        picks += [edges[k] + i for i in chosen]
    return picks


def plain_replace(include: list[int], targets: list[int]) -> list[int]:
    """Replace targets by included frames: steps 1 to 3 of `sample`."""
    left = sorted(t for t in targets if t not in include)
    for frame in sorted(include):
        if frame in targets:
            continue
        best = 0
        for k in range(1, len(left)):
            if abs(left[k] - frame) < abs(left[best] - frame):
                best = k
        del left[best]
    return sorted(left + include)


def plain_sample(case: dict) -> list[int]:
    """Replay one case of `sampling_cases.cases`."""
    method = case["method"]
    if method == "allocate":
        return plain_allocate(
            case["total"],
            case["durations"],
            case["activities"],
            case["rule"],
            case["minimum"],
            case["maximum"],
        )
    n, include = case["n"], case["include"]
    blocked = set(case["exclude"]) | set(case["labeled"])
    frames = [i for i in range(case["n_frames"]) if case["selectable"][i] and i not in blocked]
    if case["order"] is not None:
        usable = set(frames) - set(include)
        rest = [i for i in case["order"] if i in usable]
        return sorted(include + rest[: n - len(include)])
    weights = [case["weights"][i] for i in frames]
    options = case["options"]
    if method == "uniform":
        phase = len(frames) // 2 if options["start"] == "middle" else 0
        picks = plain_uniform(len(frames), n, phase)
    elif method == "systematic":
        picks = plain_systematic(weights, n, options["mixing"], options["power"], GRID // 2)
    else:
        cuts = sorted({sum(f < cut for f in frames) for cut in case["cuts"]} - {0, len(frames)})
        picks = plain_auto(weights, n, cuts, options["threshold"], options["mixing"], options["power"])
    return plain_replace(include, [frames[i] for i in picks])

/* Say how a report's selection follows from a budget, pins and frames left out, and compute it. */
const evfrBudget = (() => {
  "use strict";

  const { GRID, uniform, systematic, auto, allocate } = evfrSampling;

  // The defaults of the Python samplers; a test holds the two equal.
  const DEFAULTS = {
    uniform: { start: "first" },
    systematic: { mixing: 0.5, power: 0.5, start: "centre" },
    auto: { threshold: 0.9, mixing: 0.5, power: 0.5 },
  };

  function phase(method, options, total, video) {
    if (method === "uniform") {
      if (options.start === "first") return 0;
      if (options.start === "middle") return Math.floor(total / 2);
      if (video.drawn && video.drawn[0] === total) return video.drawn[1];
    } else {
      if (options.start === "centre") return GRID / 2;
      if (video.drawn) return video.drawn[1];
    }
    throw new Error("A random start with other frames left out is drawn anew: export, then evfr select --from computes it.");
  }

  /* How many of the sorted frames are below a frame. */
  function countBelow(frames, limit) {
    let low = 0;
    let high = frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (frames[middle] < limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /* Targets of a method that is not nested, on the eligible frames closed up. */
  function targets(video, method, eligible, n) {
    const options = Object.assign({}, DEFAULTS[method], video.options);
    const weights = eligible.map((frame) => video.weights[frame]);
    let picks;
    if (method === "auto") {
      const cuts = Array.from(video.cuts, (cut) => countBelow(eligible, cut))
        .filter((cut) => cut > 0 && cut < eligible.length);
      picks = auto(weights, n, options.threshold, options.mixing, options.power, cuts);
    } else if (method === "uniform") {
      picks = uniform(eligible.length, n, n ? phase(method, options, eligible.length, video) : 0);
    } else {
      picks = systematic(weights, n, options.mixing, options.power, n ? phase(method, options, eligible.length, video) : 0);
    }
    return picks.map((place) => eligible[place]);
  }

  /* Included frames take the place of the target that is the frame itself, else of the nearest one left. */
  function include(found, wanted) {
    const open = new Set(found);
    const rest = wanted.filter((frame) => !open.delete(frame));
    for (const frame of rest) {
      let best = -1;
      for (const target of open) {
        const gap = Math.abs(target - frame) - Math.abs(best - frame);
        if (best < 0 || gap < 0 || (gap === 0 && target < best)) best = target;
      }
      open.delete(best);
    }
    return [...open, ...wanted];
  }

  function bounds(video, pins, leftOut) {
    const wanted = Array.from(new Set([...video.include, ...pins])).sort((a, b) => a - b);
    const ruledOut = new Set([...video.exclude, ...video.labeled, ...leftOut]);
    const eligible = [];
    video.isSelectable.forEach((flag, frame) => flag && !ruledOut.has(frame) && eligible.push(frame));
    return { wanted, ruledOut, eligible };
  }

  function one(video, method, n, { wanted, ruledOut, eligible }) {
    let picks;
    if (video.order !== null) {
      const first = new Set(wanted);
      const rest = video.order.filter((frame) => video.isSelectable[frame] && !first.has(frame) && !ruledOut.has(frame));
      picks = [...wanted, ...rest].slice(0, n);
    } else {
      picks = include(targets(video, method, eligible, n), wanted);
    }
    return Int32Array.from(picks).sort();
  }

  /* Picks of every video at budget n; items have video, pins and leftOut. */
  function choose(report, n, items) {
    const usable = items.filter(({ video }) => video.isSelectable.includes(1));
    const limits = usable.map(({ video, pins, leftOut }) => bounds(video, pins, leftOut));
    const isGiven = report.minimum !== null;
    const floor = isGiven ? report.minimum : n >= usable.length ? 1 : 0;
    const low = limits.map(({ wanted, eligible }) => Math.max(wanted.length, isGiven ? floor : Math.min(floor, eligible.length)));
    const high = limits.map(({ eligible }) => Math.min(eligible.length, report.maximum === null ? Infinity : report.maximum));
    const size = usable.map(({ video }) => (video.size === null ? video.duration_seconds : video.size));
    const activity = usable.map(({ video }) =>
      video.allocation_activity === null ? video.activity[report.signal] || 0 : video.allocation_activity);
    const counts = usable.length ? allocate(n, size, activity, report.allocation, low, high) : [];
    const found = new Map(usable.map(({ video }, i) => [video, one(video, report.method, counts[i], limits[i])]));
    return items.map(({ video }) => found.get(video) || new Int32Array(0));
  }

  function ruleFor(report) {
    const videos = report.videos.filter((video) => video.isSelectable.includes(1));
    const closed = (why) => ({ isOpen: false, why: why + " Pins and frames left out are marked here and applied by evfr select --from." });
    if (report.has_gap_constraints) {
      return closed("The budget is fixed here: gaps between frames were bounded, and only evfr select itself can solve that anew.");
    }
    const isNested = videos.every((video) => video.order !== null);
    if (!isNested && !(report.method in DEFAULTS)) {
      return closed("The budget is fixed here: the method " + report.method + " has no order that a smaller budget could follow.");
    }
    const note = isNested
      ? "Every smaller budget keeps a part of the same frames: the order is nested."
      : "Recomputed in this page by the same rule as evfr select; it is not nested, so frames may move.";
    return { isOpen: true, note, choose: (n, items) => choose(report, n, items) };
  }

  return { DEFAULTS, ruleFor, choose, bounds, one };
})();

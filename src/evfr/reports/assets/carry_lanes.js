/* Trust over time: one lane for each track, all on one time axis. */
const evfrLanes = (() => {
  "use strict";

  const { el, replace, count, number, time, context, colour, visible } = evfrDom;
  const PAGE = 24;
  const HEIGHT = 34;
  const LABELLED = 1;
  const KEPT = 2;
  const ASK = 3;
  const DROPPED = 4;

  /* The frame whose time is nearest; times may repeat in broken files. */
  function nearestFrame(times, wanted) {
    let low = 0;
    let high = times.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low > 0 && wanted - times[low - 1] <= times[low] - wanted ? low - 1 : low;
  }

  /* What a track's lane and its label say: mean and least trust, and how many wait for a person. */
  function summary(report, track) {
    let sum = 0;
    let measured = 0;
    let least = Infinity;
    let asked = 0;
    let dropped = 0;
    for (let frame = 0; frame < report.n_frames; frame++) {
      const state = track.state[frame];
      if (state === ASK) asked++;
      if (state === DROPPED) dropped++;
      const trust = track.trustAt(frame);
      if (state < KEPT || trust === null) continue;
      sum += trust;
      measured++;
      if (trust < least) least = trust;
    }
    return { mean: measured ? sum / measured : NaN, least: measured ? least : NaN, asked, dropped, measured };
  }

  function draw(canvas, report, track, limit) {
    const width = canvas.clientWidth || 600;
    const pen = context(canvas, width, HEIGHT);
    pen.clearRect(0, 0, width, HEIGHT);
    const n = report.n_frames;
    if (n === 0) return;
    const x = report.place(width);
    const floor = HEIGHT - 2;
    const top = 3;
    const columns = Math.ceil(width);
    const least = new Float64Array(columns).fill(-1);
    const kinds = new Uint8Array(columns);
    for (let frame = 0; frame < n; frame++) {
      const state = track.state[frame];
      if (state === 0) continue;
      const trust = state === LABELLED ? 1 : track.trustAt(frame);
      const from = Math.min(columns - 1, Math.floor(x(frame)));
      const to = Math.min(columns - 1, Math.max(from, Math.ceil(x(frame + 1)) - 1));
      for (let column = from; column <= to; column++) {
        if (kinds[column] && least[column] >= 0 && (trust === null || trust >= least[column])) continue;
        if (kinds[column] && trust === null) continue;
        least[column] = trust === null ? -1 : trust;
        kinds[column] = state;
      }
    }
    const inks = { 1: track.colour, 2: track.colour, 3: colour("pick"), 4: colour("muted") };
    for (let column = 0; column < columns; column++) {
      if (!kinds[column]) continue;
      const value = least[column];
      const isLow = value >= 0 && value < limit;
      const height = value < 0 ? 3 : Math.max(2, (floor - top) * value);
      pen.fillStyle = kinds[column] === DROPPED ? inks[4] : isLow || kinds[column] === ASK ? inks[3] : inks[kinds[column]];
      pen.globalAlpha = value < 0 ? 0.35 : kinds[column] === DROPPED ? 0.45 : 0.85;
      pen.fillRect(column, floor - height, 1, height);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = colour("line");
    pen.fillRect(0, floor, width, 1);
    pen.strokeStyle = colour("muted");
    pen.globalAlpha = 0.8;
    pen.setLineDash([2, 3]);
    pen.beginPath();
    const y = Math.round(floor - (floor - top) * limit) + 0.5;
    pen.moveTo(0, y);
    pen.lineTo(width, y);
    pen.stroke();
    pen.setLineDash([5, 4]);
    pen.beginPath();
    for (const cut of report.cuts) {
      pen.moveTo(Math.round(x(cut)) + 0.5, 0);
      pen.lineTo(Math.round(x(cut)) + 0.5, floor);
    }
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    const ink = colour("ink");
    pen.fillStyle = ink;
    for (const frame of report.labelled) {
      if (track.state[frame] !== LABELLED) continue;
      const middle = (x(frame) + x(frame + 1)) / 2;
      pen.fillRect(middle - 0.75, 0, 1.5, floor);
      pen.beginPath();
      pen.arc(middle, 3, 2.6, 0, 2 * Math.PI);
      pen.fill();
    }
    for (const end of report.ends) {
      if (end.track !== track.id || end.frame >= n) continue;
      const at = x(end.frame);
      pen.strokeStyle = colour("damage");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.moveTo(at - 3.5, floor - 9);
      pen.lineTo(at + 3.5, floor - 2);
      pen.moveTo(at - 3.5, floor - 2);
      pen.lineTo(at + 3.5, floor - 9);
      pen.stroke();
    }
  }

  /* The panel: lanes, axis, cursor. `on` has go(frame, track) and hover(frame, track, x). */
  function panel(report, on) {
    const limit = report.min_trust === null ? 0.5 : report.min_trust;
    const tracks = report.tracks.map((track) => Object.assign(track, { facts: summary(report, track) }));
    const order = tracks.slice().sort((a, b) => (Number.isFinite(a.facts.mean) ? a.facts.mean : 2) - (Number.isFinite(b.facts.mean) ? b.facts.mean : 2) || a.id - b.id);
    const node = el("div", { class: "lanes" });
    const cursor = el("div", { class: "lane-cursor", hidden: true });
    const axis = el("div", { class: "lane-axis", "aria-hidden": "true" });
    const more = el("button", { class: "quiet", type: "button" });
    let shown = PAGE;
    let canvases = [];

    function lane(track) {
      const swatch = el("i", { class: "swatch" });
      swatch.style.backgroundColor = track.colour;
      const canvas = el("canvas", { class: "lane", role: "img", "aria-label": "trust of track " + track.id + " over time, mean " + number(track.facts.mean) });
      const at = (event) => {
        const box = canvas.getBoundingClientRect();
        return report.frameAt((event.clientX - box.left) / Math.max(1, box.width));
      };
      canvas.addEventListener("mousemove", (event) => on.hover(at(event), track, event));
      canvas.addEventListener("mouseleave", () => on.hover(-1));
      canvas.addEventListener("click", (event) => on.go(at(event)));
      const { facts } = track;
      const waits = [facts.asked ? count(facts.asked) + " to ask" : "", facts.dropped ? count(facts.dropped) + " dropped" : ""].filter(Boolean).join(", ");
      canvases.push([canvas, track]);
      return [
        el("div", { class: "lane-name" }, swatch, el("b", { text: "#" + track.id }), el("span", { class: "lane-word", text: track.name, title: track.name })),
        canvas,
        el("div", { class: "lane-facts" + (facts.least < limit ? " warn" : "") },
          el("span", { text: facts.measured ? number(facts.mean) + " mean" : "\u2013" }),
          el("span", { class: "muted", text: waits || (facts.measured ? number(facts.least) + " least" : "labelled only") })),
      ];
    }

    function paintAxis() {
      const width = canvases.length ? canvases[0][0].clientWidth : 600;
      const span = report.span[1] - report.span[0];
      const wanted = span / Math.max(2, Math.floor(width / 110));
      const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200].find((s) => s >= wanted) || 14400;
      const ticks = [];
      for (let at = Math.ceil(report.span[0] / step) * step; at <= report.span[1] + 1e-9; at += step) {
        const tick = el("span", { text: time(at, step < 1 ? 1 : 0) });
        tick.style.left = ((100 * (at - report.span[0])) / span).toFixed(3) + "%";
        ticks.push(tick);
      }
      replace(axis, ticks);
    }

    function paint() {
      for (const [canvas, track] of canvases) draw(canvas, report, track, limit);
      paintAxis();
      place();
    }

    function place() {
      cursor.hidden = on.frame() < 0 || canvases.length === 0;
      if (cursor.hidden) return;
      const canvas = canvases[0][0];
      const x = report.place(canvas.clientWidth);
      cursor.style.left = (canvas.offsetLeft + (x(on.frame()) + x(on.frame() + 1)) / 2).toFixed(1) + "px";
    }

    function build() {
      canvases = [];
      const rows = order.slice(0, shown).flatMap(lane);
      replace(node, ...rows, el("span", {}), axis, el("span", {}), cursor);
      more.hidden = order.length <= shown;
      more.textContent = "Show " + count(Math.min(PAGE, order.length - shown)) + " more of " + count(order.length - shown) + " tracks";
      requestAnimationFrame(paint);
    }
    more.addEventListener("click", () => {
      shown += PAGE;
      build();
    });
    let width = 0;
    new ResizeObserver(() => {
      if (node.clientWidth === width) return;
      width = node.clientWidth;
      paint();
    }).observe(node);
    build();
    return { node, more, paint, place, limit };
  }

  return { panel, nearestFrame, visible };
})();

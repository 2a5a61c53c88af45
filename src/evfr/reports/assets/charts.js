/* Draw one video's curves, picks, cuts and damage; and the small curve of the overview. */
const evfrCharts = (() => {
  "use strict";

  const { el, time, number, colour, context } = evfrDom;
  const CURVES = ["curve-1", "curve-2", "curve-3", "curve-4", "curve-5"];
  const BAND = 18;

  const curveColour = (place) => colour(CURVES[place % CURVES.length]);

  /* FVI relative to the average frame; what is damaged or was not measured is a gap. */
  function relative(values, isSuspect) {
    return Array.from(values, (value, i) => (Number.isFinite(value) && !isSuspect[i] ? value * values.length : null));
  }

  function hatch(pen, left, top, width, height, ink) {
    pen.save();
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    pen.globalAlpha = 0.16;
    pen.fillStyle = ink;
    pen.fillRect(left, top, width, height);
    pen.globalAlpha = 0.6;
    pen.strokeStyle = ink;
    pen.lineWidth = 1;
    const step = 7 * (window.devicePixelRatio || 1);
    pen.beginPath();
    for (let x = left - height; x < left + width; x += step) {
      pen.moveTo(x, top + height);
      pen.lineTo(x + height, top);
    }
    pen.stroke();
    pen.restore();
  }

  function marker(pen, kind, x, y, r) {
    pen.beginPath();
    if (kind === "pin") {
      pen.moveTo(x, y - r * 1.5);
      pen.lineTo(x + r * 1.5, y);
      pen.lineTo(x, y + r * 1.5);
      pen.lineTo(x - r * 1.5, y);
      pen.closePath();
      pen.fill();
      pen.stroke();
    } else if (kind === "out") {
      pen.moveTo(x - r, y - r);
      pen.lineTo(x + r, y + r);
      pen.moveTo(x - r, y + r);
      pen.lineTo(x + r, y - r);
      pen.stroke();
    } else {
      pen.arc(x, y, r, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    }
  }

  /* The large chart. `item` is the state of one video; `on` has hover(frame, x) and pick(frame). */
  function large(holder, state, item, on) {
    const { video } = item;
    const n = video.n_frames;
    const curves = video.curves.map((curve) => relative(curve.values, video.isSuspect));
    let hidden = new Set(video.curves.map((curve, i) => i).filter((i) => video.curves.length > 1 && video.curves[i].name !== state.report.signal));
    if (hidden.size === curves.length) hidden = new Set();
    const main = () => {
      const named = video.curves.findIndex((curve, i) => curve.name === state.report.signal && !hidden.has(i));
      return named >= 0 ? named : Math.max(0, curves.findIndex((_, i) => !hidden.has(i)));
    };
    const ends = n > 1 ? [video.time[0], video.time[n - 1]] : [video.time[0] - 0.5, video.time[0] + 0.5];
    if (!(ends[1] > ends[0])) ends[1] = ends[0] + 1;
    const ink = () => ({
      text: colour("muted"), line: colour("line"), ink: colour("ink"), pick: colour("pick"), pin: colour("pin"),
      out: colour("muted"), damage: colour("damage"), card: colour("card"), band: colour("band"),
    });

    const edge = (u, frame) => {
      const inside = Math.min(Math.max(frame, 0), n - 1);
      const half = frame > 0 && frame < n ? (video.time[frame] - video.time[frame - 1]) / 2 : 0;
      return u.valToPos(video.time[inside] - half, "x", true);
    };

    function ground(u) {
      const paint = ink();
      const pen = u.ctx;
      const ratio = uPlot.pxRatio;
      const { left, top, width, height } = u.bbox;
      pen.save();
      pen.beginPath();
      pen.rect(left, top - BAND * ratio, width, height + BAND * ratio);
      pen.clip();
      for (const [start, stop] of video.suspect) {
        const a = edge(u, start);
        hatch(pen, a, top, Math.max(2 * ratio, edge(u, stop) - a), height, paint.damage);
      }
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      pen.font = 11 * ratio + "px " + colour("font");
      video.segments.forEach((part, i) => {
        const a = Math.max(left, edge(u, part.start));
        const b = Math.min(left + width, edge(u, part.stop));
        if (b <= a) return;
        pen.fillStyle = paint.band;
        pen.globalAlpha = i % 2 ? 0.55 : 1;
        pen.fillRect(a, top - BAND * ratio, b - a - ratio, (BAND - 3) * ratio);
        pen.globalAlpha = 1;
        pen.fillStyle = paint.text;
        const taken = item.picks.filter((frame) => frame >= part.start && frame < part.stop).length;
        const longer = part.method + " \u00b7 CV " + number(part.dynamicity) + " \u00b7 " + taken + " frames";
        const label = [longer, part.method].find((text) => pen.measureText(text).width < b - a - 10 * ratio);
        if (label) pen.fillText(evfrDom.visible(label), a + 5 * ratio, top - (BAND / 2 + 1) * ratio);
      });
      pen.strokeStyle = paint.ink;
      pen.globalAlpha = 0.55;
      pen.lineWidth = ratio;
      pen.setLineDash([5 * ratio, 4 * ratio]);
      pen.beginPath();
      for (const cut of video.cuts) {
        const x = Math.round(edge(u, cut)) + 0.5;
        pen.moveTo(x, top - BAND * ratio);
        pen.lineTo(x, top + height);
      }
      pen.stroke();
      pen.restore();
    }

    function picks(u) {
      const paint = ink();
      const pen = u.ctx;
      const ratio = uPlot.pxRatio;
      const { left, top, width, height } = u.bbox;
      const values = curves[main()] || [];
      const shown = item.picks.filter((f) => video.time[f] >= u.scales.x.min && video.time[f] <= u.scales.x.max).length;
      const r = (shown > width / ratio / 7 ? 2 : 3.2) * ratio;
      const place = (frame) => {
        const value = values[frame];
        const x = u.valToPos(video.time[frame], "x", true);
        return [x, value === null || value === undefined ? top + height : u.valToPos(value, "y", true)];
      };
      const inside = (x) => x >= left - 1 && x <= left + width + 1;
      pen.save();
      pen.lineWidth = ratio;
      pen.strokeStyle = paint.pick;
      pen.globalAlpha = shown > width / ratio / 4 ? 0.25 : 0.5;
      pen.beginPath();
      for (const frame of item.picks) {
        const [x, y] = place(frame);
        if (!inside(x)) continue;
        pen.moveTo(x, top + height);
        pen.lineTo(x, y);
      }
      pen.stroke();
      pen.globalAlpha = 1;
      pen.fillStyle = paint.pick;
      pen.strokeStyle = paint.card;
      for (const frame of item.picks) {
        const [x, y] = place(frame);
        if (inside(x) && !item.pins.has(frame)) marker(pen, "pick", x, y, r);
      }
      pen.fillStyle = paint.pin;
      for (const frame of item.pins) {
        const [x, y] = place(frame);
        if (inside(x)) marker(pen, "pin", x, y, 4 * ratio);
      }
      pen.strokeStyle = paint.ink;
      pen.lineWidth = 2 * ratio;
      for (const frame of item.leftOut) {
        const [x, y] = place(frame);
        if (inside(x)) marker(pen, "out", x, y, 4 * ratio);
      }
      if (state.frame >= 0 && state.videos[state.place] === item && state.frame < n) {
        const [x, y] = place(state.frame);
        if (inside(x)) {
          pen.strokeStyle = paint.ink;
          pen.lineWidth = 2 * ratio;
          pen.beginPath();
          pen.arc(x, y, 7 * ratio, 0, 2 * Math.PI);
          pen.stroke();
        }
      }
      pen.restore();
    }

    function frameAt(u, left) {
      const wanted = u.posToVal(left, "x");
      return nearestFrame(video.time, wanted);
    }

    const axis = () => ({
      stroke: () => colour("muted"),
      grid: { stroke: () => colour("line"), width: 1 },
      ticks: { stroke: () => colour("line"), width: 1, size: 4 },
      font: "11px " + colour("font"),
    });
    const span = ends[1] - ends[0];
    const plot = new uPlot(
      {
        width: Math.max(200, holder.clientWidth),
        height: 250,
        padding: [BAND + 4, 18, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 8 } },
        scales: {
          x: { time: false, range: (u, low, high) => (high > low ? [low, high] : ends) },
          y: { range: (u, low, high) => [0, Number.isFinite(high) && high > 0 ? high * 1.06 : 1] },
        },
        axes: [
          Object.assign(axis(), { values: (u, ticks) => ticks.map((tick) => time(tick, u.scales.x.max - u.scales.x.min < 5 ? 2 : span < 30 ? 1 : 0)), size: 28 }),
          Object.assign(axis(), { size: 44, values: (u, ticks) => ticks.map((tick) => String(+tick.toPrecision(4)) + "\u00d7") }),
        ],
        series: [
          {},
          ...curves.map((_, i) => ({
            show: !hidden.has(i),
            stroke: () => curveColour(i),
            width: 1.4,
            fill: i === main() ? () => colour("fill") : undefined,
            points: { show: n < 3, size: 6 },
          })),
        ],
        hooks: {
          drawAxes: [ground],
          draw: [picks],
          setCursor: [(u) => on.hover(u.cursor.left >= 0 ? frameAt(u, u.cursor.left) : -1, u.cursor.left + u.bbox.left / uPlot.pxRatio)],
          setScale: [(u, key) => key === "x" && on.zoom && on.zoom(u)],
        },
      },
      [Array.from(video.time), ...curves],
      holder,
    );
    let pressed = 0;
    plot.over.addEventListener("mousedown", (event) => (pressed = event.clientX));
    plot.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - pressed) > 6) return;
      const left = event.clientX - plot.over.getBoundingClientRect().left;
      let best = frameAt(plot, left);
      let gap = 8;
      for (const frame of item.picks) {
        const distance = Math.abs(plot.valToPos(video.time[frame], "x") - left);
        if (distance < gap) {
          gap = distance;
          best = frame;
        }
      }
      on.pick(best);
    });
    return {
      plot,
      redraw: () => plot.redraw(false, true),
      resize: () => holder.clientWidth && plot.setSize({ width: Math.max(200, holder.clientWidth), height: 250 }),
      show: (i, isShown) => {
        if (isShown) hidden.delete(i);
        else hidden.add(i);
        plot.setSeries(i + 1, { show: isShown });
      },
      isShown: (i) => !hidden.has(i),
      reset: () => plot.setScale("x", { min: ends[0], max: ends[1] }),
      destroy: () => plot.destroy(),
    };
  }

  /* Times may repeat or step back in broken files: the search then still ends at some frame nearby. */
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

  /* The overview's small curve: highest value per column, and a tick per pick below. */
  function small(canvas, item, signal) {
    const { video } = item;
    const width = canvas.clientWidth || 220;
    const height = canvas.clientHeight || 34;
    const pen = context(canvas, width, height);
    pen.clearRect(0, 0, width, height);
    const n = video.n_frames;
    if (n === 0) return;
    const first = video.time[0];
    const span = Math.max(video.time[n - 1] - first, 1e-9);
    const x = (frame) => 1 + ((width - 2) * (n > 1 ? video.time[frame] - first : span / 2)) / span;
    const curve = video.curves.find((entry) => entry.name === signal) || video.curves[0];
    const floor = height - 8;
    pen.fillStyle = colour("damage");
    pen.globalAlpha = 0.35;
    for (const [start, stop] of video.suspect) pen.fillRect(x(start), 0, Math.max(1.5, x(stop - 1) - x(start)), floor);
    pen.globalAlpha = 1;
    if (curve) {
      const columns = new Float64Array(Math.ceil(width)).fill(-1);
      let top = 0;
      for (let i = 0; i < n; i++) {
        const value = curve.values[i];
        if (!Number.isFinite(value) || video.isSuspect[i]) continue;
        const column = Math.min(columns.length - 1, Math.max(0, Math.floor(x(i))));
        if (value > columns[column]) columns[column] = value;
        if (value > top) top = value;
      }
      pen.beginPath();
      pen.moveTo(1, floor);
      let last = 1;
      columns.forEach((value, column) => {
        if (value < 0) return;
        last = column + 0.5;
        pen.lineTo(last, floor - ((floor - 2) * value) / (top || 1));
      });
      pen.lineTo(last, floor);
      pen.closePath();
      pen.fillStyle = colour("fill");
      pen.fill();
      pen.strokeStyle = curveColour(video.curves.indexOf(curve));
      pen.lineWidth = 1;
      pen.stroke();
    }
    pen.strokeStyle = colour("ink");
    pen.globalAlpha = 0.45;
    pen.beginPath();
    for (const cut of video.cuts) {
      pen.moveTo(x(cut), 0);
      pen.lineTo(x(cut), floor);
    }
    pen.stroke();
    pen.globalAlpha = item.picks.length > width / 2 ? 0.55 : 1;
    pen.fillStyle = colour("pick");
    for (const frame of item.picks) pen.fillRect(x(frame) - 0.5, floor + 2, 1.2, 6);
    pen.globalAlpha = 1;
  }

  return { large, small, nearestFrame, curveColour };
})();

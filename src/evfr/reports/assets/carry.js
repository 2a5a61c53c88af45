/* The page of carried labels: head, trust over time, one frame with its outlines, what to look at next. */
const evfrCarry = (() => {
  "use strict";

  const { el, replace, count, number, plural, time, context, visible } = evfrDom;
  const PAGE = 48;
  const LABELLED = 1;
  const MISSING = 255;
  const WORDS = { absent: "absent", labelled: "labelled by people", kept: "kept", ask: "ask a person", dropped: "dropped" };

  function load() {
    const raw = evfrData.block("carry");
    const n = raw.n_frames;
    const trust = evfrData.unpack(raw.trust);
    const state = evfrData.unpack(raw.state);
    const times = evfrData.unpack(raw.time_seconds);
    const ends = n > 1 ? [times[0], times[n - 1] + (times[n - 1] - times[0]) / (n - 1)] : [times[0] || 0, (times[0] || 0) + 1];
    if (!(ends[1] > ends[0])) ends[1] = ends[0] + 1;
    const tracks = raw.tracks.map((track, place) => {
      const levels = trust.subarray(place * n, (place + 1) * n);
      return Object.assign({}, track, {
        place,
        state: state.subarray(place * n, (place + 1) * n),
        trustAt: (frame) => (levels[frame] === MISSING ? null : levels[frame] / 254),
      });
    });
    const edge = (frame) => (frame < n ? times[frame] : ends[1]);
    return Object.assign({}, raw, {
      times, tracks, span: ends, thumbs: evfrData.thumbs(0),
      ends: raw.ends.map(([track, frame, side, reason]) => ({ track, frame, side, reason })),
      review: raw.review.map(([frame, gain, reason]) => ({ frame, gain, reason })),
      shapes: new Map(raw.pictures.map(([frame, objects]) => [frame, objects])),
      place: (width) => (frame) => Math.min(width, Math.max(0, ((edge(frame) - ends[0]) / (ends[1] - ends[0])) * width)),
      frameAt: (part) => evfrLanes.nearestFrame(times, ends[0] + part * (ends[1] - ends[0])),
    });
  }

  const report = load();
  const isLabelled = new Set(report.labelled);
  const limit = report.min_trust === null ? 0.5 : report.min_trust;
  let current = report.review.length ? report.review[0].frame : report.labelled.length ? report.labelled[0] : report.n_frames ? 0 : -1;

  function header() {
    const fact = (value, label, kind) => el("div", { class: "fact " + (kind || "") }, el("dd", { text: value }), el("dt", { text: label }));
    const [iou, low, high] = report.expected;
    const { kept, ask, dropped } = report.counts;
    const copy = el("button", { class: "quiet", type: "button", text: "Copy", onclick: () => evfrDom.copy(report.command, copy) });
    return el("header", { class: "top" },
      el("p", { class: "brand" }, el("b", { text: "evfr" }), " carried labels", el("span", { class: "muted", text: " \u00b7 version " + report.version })),
      el("h1", { text: report.video_id }),
      el("dl", { class: "facts" },
        fact(count(report.n_frames), "frames"),
        fact(count(report.labelled.length), "labelled"),
        fact(count(report.tracks.length), report.tracks.length === 1 ? "object" : "objects"),
        fact(count(kept), "carried and kept", "strong"),
        fact(count(ask), "to ask", ask ? "warn" : ""),
        fact(count(dropped), "dropped", dropped ? "warn" : ""),
        fact(number(iou), iou === null ? "expected IoU" : "expected IoU, " + number(low) + " to " + number(high)),
        fact(report.method, "method"),
        report.problems.length ? fact(count(report.problems.length), report.problems.length === 1 ? "problem" : "problems", "warn") : null),
      report.notes.map((text) => el("p", { class: "note", text })),
      el("div", { class: "command" }, el("code", { text: report.command, tabindex: "0", "aria-label": "Command that carries these labels" }), copy));
  }

  /* Draw a frame's picture, and over it the outlines of what is on it. */
  function paint(canvas, frame, width, isLarge) {
    const shape = report.height / report.width;
    const [w, h] = shape > 1.2 ? [Math.round((width * 0.8) / shape), Math.round(width * 0.8)] : [width, Math.round(width * shape)];
    canvas.style.aspectRatio = w + " / " + h;
    const pen = context(canvas, w, h);
    const near = report.thumbs.nearest(frame);
    const outlines = () => {
      const scale = [w / report.picture_size[0], h / report.picture_size[1]];
      for (const [place, polygons] of report.shapes.get(near) || []) {
        const track = report.tracks[place];
        const isHuman = track.state[near] === LABELLED;
        const trust = track.trustAt(near);
        const isLow = !isHuman && trust !== null && trust < limit;
        evfrOutline.draw(pen, polygons, scale, { colour: track.colour, isHuman, isLow }, isLarge ? 1.3 : 0.8);
      }
      if (!isLarge) return;
      for (const [place, polygons] of report.shapes.get(near) || []) {
        const track = report.tracks[place];
        if (polygons.length) evfrOutline.tag(pen, polygons, scale, "#" + track.id, track.colour, w, h);
      }
    };
    const done = near < 0 ? Promise.resolve() : report.thumbs.paint(pen, near, 0, 0, w, h).then(outlines);
    return { near, done };
  }

  function describe(frame) {
    if (isLabelled.has(frame)) return "labelled by people";
    const found = report.tracks.filter((track) => track.state[frame] > 0);
    if (found.length === 0) return "nothing here";
    const trusts = found.map((track) => track.trustAt(frame)).filter((trust) => trust !== null);
    return plural(found.length, "object") + (trusts.length ? ", least trust " + number(Math.min(...trusts)) : "");
  }

  const viewer = el("div", { class: "viewer" });
  const live = el("div", { class: "off", "aria-live": "polite", role: "status" });
  const tip = el("div", { class: "tip", hidden: true });
  const review = el("div", { class: "picks", role: "group", "aria-label": "Frames to look at next" });
  const grid = el("div", { class: "picks", role: "group", "aria-label": "Pictures" });
  const more = el("button", { class: "quiet", type: "button" });
  const frames = Array.from(report.shapes.keys()).sort((a, b) => a - b);
  let shown = PAGE;

  const lanes = evfrLanes.panel(report, {
    frame: () => current,
    go: (frame) => go(frame),
    hover: (frame, track, event) => {
      tip.hidden = frame < 0;
      if (frame < 0) return;
      const state = report.states[track.state[frame]];
      replace(tip,
        el("div", { class: "tip-text" },
          el("b", { text: "frame " + count(frame) + " \u00b7 " + time(report.times[frame]) }),
          el("span", { text: "#" + track.id + " " + track.name }),
          el("span", { class: "muted", text: WORDS[state] + (state === "labelled" || state === "absent" ? "" : ", trust " + number(track.trustAt(frame))) })));
      const box = tip.parentNode.getBoundingClientRect();
      const left = event.clientX - box.left;
      tip.style.left = Math.max(0, left + 16 + tip.offsetWidth > box.width ? left - tip.offsetWidth - 16 : left + 16) + "px";
      tip.style.top = event.clientY - box.top + 14 + "px";
    },
  });

  function figure(frame, width, kind, caption, note) {
    const canvas = el("canvas", { role: "img", "aria-label": caption + ", " + note });
    const { near } = paint(canvas, frame, width, kind === "main");
    const extra = near >= 0 && near !== frame ? " (picture: " + count(near) + ")" : near < 0 ? " (no picture)" : "";
    const node = el("figure", { class: "frame " + kind }, canvas,
      el("figcaption", {}, el("b", { text: caption }), " ", el("span", { class: "muted", text: note + extra })));
    if (kind === "side") {
      node.classList.add("link");
      node.addEventListener("click", () => go(frame));
    }
    return node;
  }

  function drawViewer() {
    if (current < 0) {
      replace(viewer, el("p", { class: "empty", text: "This video has no frame." }));
      return;
    }
    const before = Array.from(report.labelled).reverse().find((frame) => frame < current);
    const after = report.labelled.find((frame) => frame > current);
    const side = (frame, text) => frame === undefined
      ? el("div", { class: "frame side none" }, el("span", { class: "muted", text }))
      : figure(frame, 240, "side", "frame " + count(frame), "labelled, " + count(Math.abs(frame - current)) + (frame < current ? " before" : " after"));
    const worth = (track) => (track.trustAt(current) === null ? 2 : track.trustAt(current));
    const there = report.tracks.filter((track) => track.state[current] > 0).sort((a, b) => worth(a) - worth(b) || a.id - b.id);
    const wanted = report.review.findIndex((row) => row.frame === current);
    const rows = there.slice(0, 14).map((track) => {
      const state = report.states[track.state[current]];
      const trust = track.trustAt(current);
      const swatch = el("i", { class: "swatch" });
      swatch.style.backgroundColor = track.colour;
      return [el("dt", {}, swatch, " #" + track.id + " " + track.name),
        el("dd", { class: state !== "labelled" && trust !== null && trust < limit ? "warn" : "", text: state === "labelled" ? "labelled" : number(trust) + " \u00b7 " + WORDS[state] })];
    });
    const card = el("div", { class: "card" },
      el("dl", {},
        [el("dt", { text: "time" }), el("dd", { text: time(report.times[current], 3) })],
        wanted >= 0 ? [el("dt", { text: "look next" }), el("dd", { text: "#" + (wanted + 1) + (report.review[wanted].reason ? ": " + report.review[wanted].reason : "") })] : [],
        rows.length ? rows.flat() : [el("dt", { text: "objects" }), el("dd", { text: "none" })],
        there.length > 14 ? [el("dt", { text: "\u2026" }), el("dd", { text: count(there.length - 14) + " more" })] : []));
    replace(viewer, side(before, "no label before"),
      figure(current, 520, "main", "frame " + count(current), time(report.times[current]) + " \u00b7 " + describe(current)),
      side(after, "no label after"), card);
  }

  function cell(frame, rank, why) {
    const canvas = el("canvas", { "aria-hidden": "true" });
    const { near } = paint(canvas, frame, 150, false);
    return el("button", {
      type: "button", class: "pick" + (near !== frame ? " guess" : "") + (frame === current ? " current" : ""), "data-frame": frame,
      "data-near": near !== frame && near >= 0 ? "\u2248 " + count(near) : null, "aria-label": "frame " + frame + ", " + describe(frame), title: why,
      onclick: () => {
        go(frame);
        document.getElementById("trust-title").scrollIntoView({ block: "start" });
      },
    }, canvas,
      el("span", { class: "pick-text" }, el("b", { text: count(frame) }), " ", time(report.times[frame]), rank ? el("span", { class: "rank", text: "#" + rank }) : null),
      el("span", { class: "pick-why", text: why }));
  }

  function drawGrids() {
    replace(review, ...report.review.map((row, place) => cell(row.frame, place + 1, row.reason || describe(row.frame))));
    replace(grid, ...frames.slice(0, shown).map((frame) => cell(frame, 0, describe(frame))));
    more.hidden = frames.length <= shown;
    more.textContent = "Show " + count(Math.min(PAGE, frames.length - shown)) + " more of " + count(frames.length - shown);
  }
  more.addEventListener("click", () => {
    shown += PAGE;
    drawGrids();
  });

  function mark() {
    for (const box of [review, grid]) {
      for (const node of box.children) node.classList.toggle("current", Number(node.dataset.frame) === current);
    }
  }

  function go(frame) {
    if (!Number.isInteger(frame) || frame < 0 || frame >= report.n_frames) return;
    current = frame;
    lanes.place();
    drawViewer();
    mark();
    live.textContent = visible("frame " + frame + ", " + describe(frame));
  }

  function next(list, step) {
    const found = step > 0 ? list.find((frame) => frame > current) : list.slice().reverse().find((frame) => frame < current);
    if (found !== undefined) go(found);
  }

  const chart = el("div", { class: "chart-holder", tabindex: "0", role: "application", id: "lanes", "aria-roledescription": "chart", "aria-describedby": "lane-keys" }, lanes.node, tip);
  chart.addEventListener("keydown", (event) => {
    const worst = report.review.map((row) => row.frame).sort((a, b) => a - b);
    const moves = {
      ArrowLeft: () => (event.shiftKey ? go(current - 1) : next(frames, -1)),
      ArrowRight: () => (event.shiftKey ? go(current + 1) : next(frames, 1)),
      Home: () => go(0), End: () => go(report.n_frames - 1),
      n: () => next(worst, 1), p: () => next(worst, -1),
    };
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moves[event.key]();
  });

  function key(kind, text) {
    return el("span", { class: "key" }, el("i", { class: "sign sign-" + kind }), text);
  }

  const table = (title, heads, rows) => rows.length === 0 ? null : el("section", { class: "problems", "aria-label": title }, el("h2", { text: title }),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col", text })))),
      el("tbody", {}, rows.slice(0, 500).map((cells) => el("tr", {}, cells.map((text) => el("td", { text }))))))),
    rows.length > 500 ? el("p", { class: "note", text: "The first 500 of " + count(rows.length) + "." }) : null);

  const trust = el("section", { class: "detail", "aria-labelledby": "trust-title" },
    el("div", { class: "detail-head" }, el("h2", { id: "trust-title", text: "Trust over time" }),
      el("div", { class: "legend" }, key("label", "labelled"), key("low", "below " + number(limit) + " or to ask"), key("dropped", "dropped"),
        report.cuts.length ? key("cut", "cut") : null, report.ends.length ? key("end", "carry ends") : null)),
    el("p", { class: "muted facts-line", text: report.width + "\u00d7" + report.height + " \u00b7 one lane an object, the least trusted first; height is trust, from 0 to 1" }),
    report.tracks.length ? chart : el("p", { class: "empty", text: "There is no object." }), lanes.more,
    el("p", { class: "note", id: "lane-keys", text: "Click a lane to see the frame. With the keyboard: \u2190 \u2192 go from picture to picture, with Shift frame by frame, N and P to the next and previous frame to look at." }),
    viewer);
  const node = el("main", {}, trust,
    el("section", { "aria-labelledby": "next-title" }, el("h2", { id: "next-title", text: "Look at these next" }),
      report.review.length ? review : el("p", { class: "empty", text: "No frame asks for a look." }),
      report.review.length ? el("p", { class: "note", text: "In this order: a label there lifts most. The folder of this page holds them as a selection that evfr extract takes." }) : null),
    frames.length ? el("section", { "aria-labelledby": "pictures-title" }, el("h2", { id: "pictures-title", text: "Carried masks" }), grid, more) : null,
    table("Where the carry ends", ["object", "frame", "time", "carried from", "why"], report.ends.map((end) =>
      ["#" + end.track, count(end.frame), time(report.times[end.frame]), end.side === "left" ? "the label before" : "the label after", end.reason])),
    table("Problems", ["code", "first frame", "count", "what is wrong"], report.problems.map((problem) =>
      [problem.code, problem.frame_index === null ? "\u2013" : count(problem.frame_index), count(problem.count), problem.message])),
    evfrTables.parameters(report));
  evfrDom.replace(document.getElementById("app"), header(), node, live);
  drawViewer();
  drawGrids();

  const repaint = () => {
    lanes.paint();
    drawViewer();
    drawGrids();
  };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  const paper = (isPaper) => () => {
    document.documentElement.classList.toggle("paper", isPaper);
    repaint();
  };
  window.addEventListener("beforeprint", paper(true));
  window.addEventListener("afterprint", paper(false));

  return Object.freeze({ report, go, frame: () => current });
})();

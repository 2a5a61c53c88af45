/* The chosen video: chart, film strip in time, the frame in the middle of its dropped neighbours, all picks. */
const evfrDetail = (() => {
  "use strict";

  const { el, replace, visible, count, number, percent, plural, time, context, colour } = evfrDom;
  const PAGE = 60;

  /* With a player, it stands where the picture between the dropped neighbours would be. */
  function panel(state, say, player = null) {
    const title = el("h2", { id: "detail-title" });
    const facts = el("p", { class: "muted facts-line" });
    const legend = el("div", { class: "legend" });
    const chartBox = el("div", {
      class: "chart", tabindex: "0", role: "application", id: "chart",
      "aria-roledescription": "chart", "aria-describedby": "chart-keys",
    });
    const tip = el("div", { class: "tip", hidden: true });
    const strip = el("canvas", { class: "strip", "aria-hidden": "true" });
    const keys = el("p", { class: "note", id: "chart-keys", text: "Drag to zoom, double click to see all. With the keyboard: \u2190 \u2192 go from pick to pick, with Shift frame by frame, Enter pins, X leaves out, 0 shows all." });
    const place = el("div", { class: "playhead", hidden: true });
    const viewer = player ? el("div", {}) : el("div", { class: "viewer" });
    const grid = el("div", { class: "picks", role: "group", "aria-label": "Selected frames" });
    const more = el("button", { class: "quiet", type: "button" });
    const gridTitle = el("h3", {});
    const node = el("section", { class: "detail", "aria-labelledby": "detail-title" },
      el("div", { class: "detail-head" }, title, legend), facts,
      el("div", { class: "chart-holder" }, chartBox, place, tip), strip, keys,
      player ? el("div", { class: "viewer with-player" }, player.node, viewer) : viewer,
      el("div", { class: "grid-head" }, gridTitle), grid, more);
    let chart = null;
    let shown = PAGE;
    let cells = new Map();
    const item = () => state.videos[state.place];

    function open() {
      if (chart) chart.destroy();
      chart = null;
      replace(chartBox);
      tip.hidden = true;
      shown = PAGE;
      const { video } = item();
      title.textContent = visible(video.video_id);
      describeVideo();
      const isEmpty = video.n_frames === 0;
      place.hidden = true;
      for (const part of [strip, keys, player ? viewer.parentNode : viewer, grid, gridTitle]) part.hidden = isEmpty;
      more.hidden = true;
      replace(legend);
      chartBox.setAttribute("aria-label", "FVI over time of " + visible(video.video_id) + ": " + plural(item().picks.length, "selected frame") + " of " + count(video.n_frames));
      if (isEmpty) {
        const texts = video.problems.map((problem) => problem.code + ": " + problem.message);
        replace(chartBox, el("p", { class: "empty" }, "No frame of this video could be used. ", texts.join(" ")));
        return;
      }
      chart = evfrCharts.large(chartBox, state, item(), { hover, pick: (frame) => go(frame), zoom: () => requestAnimationFrame(drawStrip) });
      drawLegend();
      drawStrip();
      drawViewer();
      drawGrid();
    }

    function describeVideo() {
      const { video } = item();
      facts.textContent = visible([
        video.n_frames ? video.width + "\u00d7" + video.height + " " + video.codec : "",
        plural(video.n_frames, "frame"), time(video.duration_seconds), video.n_frames ? plural(video.cuts.length + 1, "shot") : "",
        video.is_static ? "static: nothing moves" : "",
        video.method && video.method_reason ? video.method + ": " + video.method_reason : video.method,
      ].filter(Boolean).join(" \u00b7 "));
    }

    function drawLegend() {
      const { video } = item();
      const key = (kind, text) => el("span", { class: "key" }, el("i", { class: "sign sign-" + kind }), text);
      const toggles = video.curves.map((curve, i) => {
        const swatch = el("i", { class: "swatch" });
        swatch.style.backgroundColor = evfrCharts.curveColour(i);
        const button = el("button", {
          class: "toggle", type: "button", "aria-pressed": chart.isShown(i) ? "true" : "false",
          onclick: () => {
            const on = !chart.isShown(i);
            chart.show(i, on);
            button.setAttribute("aria-pressed", on ? "true" : "false");
          },
        }, swatch, curve.name);
        return button;
      });
      replace(legend, ...toggles, key("pick", "selected"), key("pin", "pinned"), key("out", "left out"),
        ...(video.cuts.length ? [key("cut", "cut")] : []), ...(video.suspect.length ? [key("damage", "damaged")] : []));
    }

    function describe(frame) {
      const { video, chosen, pins, leftOut } = item();
      if (pins.has(frame)) return "pinned";
      if (leftOut.has(frame)) return "left out";
      if (chosen.has(frame)) return video.facts.has(frame) ? "selected" : "selected at this budget";
      if (video.isSuspect[frame]) return "damaged";
      if (video.facts.has(frame)) return "dropped at this budget";
      return "dropped";
    }

    function hover(frame, x) {
      const { video } = item();
      if (frame < 0) {
        tip.hidden = true;
        return;
      }
      const near = video.thumbs.nearest(frame);
      const lines = [
        el("b", { text: "frame " + count(frame) + " \u00b7 " + time(video.time[frame]) }),
        el("span", { text: describe(frame) }),
        ...video.curves.filter((_, i) => chart.isShown(i)).map((curve) =>
          el("span", { class: "muted", text: curve.name + " " + number(curve.values[frame] * video.n_frames) + "\u00d7" })),
      ];
      const fact = video.facts.get(frame);
      if (fact) lines.push(el("span", { class: "muted", text: fact.reason }));
      const parts = [];
      if (near >= 0) {
        const canvas = el("canvas", { class: "thumb" });
        const [w, h] = box(video, 160);
        video.thumbs.paint(context(canvas, w, h), near, 0, 0, w, h);
        canvas.style.width = w + "px";
        canvas.style.height = h + "px";
        parts.push(canvas);
        if (near !== frame) lines.push(el("span", { class: "muted", text: "picture: frame " + count(near) }));
      }
      replace(tip, ...parts, el("div", { class: "tip-text" }, lines));
      tip.hidden = false;
      const width = tip.offsetWidth;
      const room = chartBox.clientWidth;
      tip.style.left = Math.max(0, x + 16 + width > room ? x - width - 16 : x + 16) + "px";
    }

    /* Thumbnails under the chart, each at its time; they follow the zoom. */
    function drawStrip() {
      if (!chart) return;
      const { video } = item();
      strip.hidden = video.thumbs.isEmpty();
      if (strip.hidden) return;
      const ratio = uPlot.pxRatio;
      const left = chart.plot.bbox.left / ratio;
      const width = chart.plot.bbox.width / ratio;
      strip.style.marginLeft = left + "px";
      strip.style.width = width + "px";
      const [w, h] = box(video, 84);
      strip.style.height = h + "px";
      const pen = context(strip, width, h);
      const slots = Math.max(1, Math.round(width / w));
      const { min, max } = chart.plot.scales.x;
      for (let i = 0; i < slots; i++) {
        const wanted = min + ((i + 0.5) / slots) * (max - min);
        const near = video.thumbs.nearest(evfrCharts.nearestFrame(video.time, wanted));
        video.thumbs.paint(pen, near, (i * width) / slots, 0, width / slots - 1, h);
      }
    }

    strip.addEventListener("click", (event) => {
      const { min, max } = chart.plot.scales.x;
      const part = event.offsetX / strip.clientWidth;
      go(evfrCharts.nearestFrame(item().video.time, min + part * (max - min)));
    });

    function box(video, width) {
      const shape = video.height > 0 && video.width > 0 ? video.height / video.width : 9 / 16;
      return shape > 1.2 ? [Math.round((width * 0.75) / shape), Math.round(width * 0.75)] : [width, Math.round(width * shape)];
    }

    function picture(frame, width, kind, caption, note) {
      const { video } = item();
      const near = frame < 0 ? -1 : kind === "main" && video.thumbs.has(frame) ? frame : video.thumbs.nearest(frame);
      const [w, h] = box(video, width);
      const canvas = el("canvas", { role: "img", "aria-label": frame < 0 ? "no frame" : caption + (near >= 0 && near !== frame ? ", shown by frame " + near : "") });
      canvas.style.aspectRatio = w + " / " + h;
      const pen = context(canvas, w, h);
      if (near >= 0) video.thumbs.paint(pen, near, 0, 0, w, h);
      const extra = near >= 0 && near !== frame ? " (picture: " + count(near) + ")" : near < 0 && frame >= 0 ? " (no picture)" : "";
      const fig = el("figure", { class: "frame " + kind }, canvas, el("figcaption", {}, el("b", { text: caption }), " ", el("span", { class: "muted", text: note + extra })));
      if (kind === "side" && frame >= 0) {
        fig.classList.add("link");
        fig.addEventListener("click", () => go(frame));
      }
      return fig;
    }

    function drawViewer() {
      const { video, picks, pins, leftOut } = item();
      const frame = state.frame;
      if (frame < 0 || video.n_frames === 0) {
        return replace(viewer, el("p", { class: "empty", text: "No frame is selected at this budget." }));
      }
      let before = -1;
      let after = -1;
      for (const pick of picks) {
        if (pick < frame) before = pick;
        if (pick > frame) {
          after = pick;
          break;
        }
      }
      const left = frame > 0 && frame - before > 1 ? (Math.max(before, 0) + frame) >> 1 : -1;
      const right = (after < 0 ? video.n_frames : after) - frame > 1 ? (frame + (after < 0 ? video.n_frames - 1 : after)) >> 1 : -1;
      const side = (f, text) =>
        f < 0 ? el("div", { class: "frame side none" }, el("span", { class: "muted", text })) : picture(f, 240, "side", "frame " + count(f), time(video.time[f]) + " \u00b7 " + describe(f));
      const fact = video.facts.get(frame);
      const pts = video.pts[frame] === evfrData.PTS_NONE ? "none" : String(video.pts[frame]);
      const part = video.segments.find((entry) => frame >= entry.start && frame < entry.stop);
      const isPinned = pins.has(frame);
      const isOut = leftOut.has(frame);
      const row = (name, value) => [el("dt", { text: name }), el("dd", { text: value })];
      const pin = el("button", { type: "button", class: "pin", "aria-pressed": isPinned ? "true" : "false", id: "pin", text: isPinned ? "\u25c6 Pinned" : "\u25c7 Pin", disabled: !video.isSelectable[frame] && !isPinned, onclick: () => act("togglePin", "pin") });
      const out = el("button", { type: "button", class: "pin", "aria-pressed": isOut ? "true" : "false", id: "leave-out", text: isOut ? "\u2715 Left out" : "\u2715 Leave out", onclick: () => act("toggleLeftOut", "leave-out") });
      const facts = el("div", { class: "card" },
        el("dl", {},
          row("state", describe(frame)),
          row("frame", count(frame)),
          row("time", time(video.time[frame], 3)),
          row("pts", pts),
          ...video.curves.map((curve) => row("FVI " + curve.name, number(curve.values[frame] * video.n_frames) + "\u00d7 mean")),
          fact ? row("rank", fact.rank + 1 + " of " + count(video.selected.length)) : [],
          fact && Number.isFinite(fact.inclusion) ? row("inclusion", number(fact.inclusion, 3)) : [],
          fact ? row("reason", fact.reason) : [],
          part && video.segments.length > 1 ? row("shot", part.start + "\u2013" + (part.stop - 1) + ", " + part.method + ": " + part.reason) : []),
        el("div", { class: "buttons" }, pin, out,
          fact && fact.file ? el("a", { class: "file", href: "./" + fact.file, text: "Full size" }) : null));
      if (player) return replace(viewer, facts);
      replace(viewer,
        side(left, "nothing dropped before"),
        picture(frame, 520, "main", "frame " + count(frame), time(video.time[frame]) + " \u00b7 " + describe(frame)),
        side(right, "nothing dropped after"), facts);
    }

    function act(name, focus) {
      say(state[name]());
      const button = focus && document.getElementById(focus);
      if (button) button.focus();
    }

    function cell(frame) {
      const { video, pins, leftOut } = item();
      const fact = video.facts.get(frame);
      const [w, h] = box(video, 150);
      const canvas = el("canvas", { "aria-hidden": "true" });
      canvas.style.aspectRatio = w + " / " + h;
      const near = video.thumbs.nearest(frame);
      if (near >= 0) video.thumbs.paint(context(canvas, w, h), near, 0, 0, w, h);
      const kind = pins.has(frame) ? "pinned" : leftOut.has(frame) ? "out" : "";
      const why = fact ? fact.reason : "selected at this budget";
      const label = "frame " + frame + ", " + time(video.time[frame]) + ", " + why + (kind ? ", " + describe(frame) : "");
      const button = el("button", {
        type: "button", class: "pick " + kind + (near !== frame ? " guess" : ""), tabindex: "-1", "aria-label": label, title: why,
        "data-frame": frame, "data-near": near !== frame && near >= 0 ? "\u2248 " + count(near) : null, onclick: () => go(frame), onfocus: () => frame !== state.frame && go(frame),
      }, canvas,
        el("span", { class: "pick-text" }, el("b", { text: count(frame) }), " ", time(video.time[frame]), fact ? el("span", { class: "rank", title: "rank", text: "#" + (fact.rank + 1) }) : null),
        el("span", { class: "pick-why", text: why }));
      return button;
    }

    function drawGrid() {
      const { video, picks, pins, leftOut } = item();
      const list = Array.from(new Set([...picks, ...leftOut])).sort((a, b) => a - b);
      while (shown < list.length && list.indexOf(state.frame) >= shown) shown += PAGE;
      gridTitle.textContent = plural(picks.length, "selected frame") + " of this video";
      const focused = grid.contains(document.activeElement) ? Number(document.activeElement.dataset.frame) : -1;
      const fresh = new Map();
      const why = (fact) => (fact ? fact.rank + fact.reason : "");
      const key = (frame) => frame + (pins.has(frame) ? "p" : "") + (leftOut.has(frame) ? "x" : "") + why(video.facts.get(frame));
      for (const frame of list.slice(0, shown)) fresh.set(key(frame), cells.get(state.place + "/" + key(frame)) || cell(frame));
      cells = new Map(Array.from(fresh, ([name, node]) => [state.place + "/" + name, node]));
      replace(grid, ...fresh.values());
      if (picks.length === 0) replace(grid, el("p", { class: "empty", text: "No frame of this video is selected." }));
      more.hidden = list.length <= shown;
      more.textContent = "Show " + count(Math.min(PAGE, list.length - shown)) + " more of " + count(list.length - shown);
      mark(focused >= 0);
    }

    function mark(focus) {
      let current = null;
      for (const node of grid.children) {
        const is = Number(node.dataset.frame) === state.frame;
        node.classList.toggle("current", is);
        if (node.dataset.frame !== undefined) node.tabIndex = -1;
        if (is) current = node;
      }
      const entry = current || grid.querySelector("button");
      if (entry) entry.tabIndex = 0;
      if (focus && current && document.activeElement !== current) current.focus();
    }

    more.addEventListener("click", () => {
      const first = shown;
      shown += PAGE;
      drawGrid();
      const next = grid.children[first];
      if (next) next.focus();
    });

    const go = (frame) => state.show(state.place, frame);

    function step(direction, isFrame) {
      const { video, picks } = item();
      if (isFrame || picks.length === 0) return go(Math.min(video.n_frames - 1, Math.max(0, state.frame + direction)));
      const ahead = direction > 0 ? picks.find((frame) => frame > state.frame) : Array.from(picks).reverse().find((frame) => frame < state.frame);
      return ahead === undefined ? undefined : go(ahead);
    }

    chartBox.addEventListener("keydown", (event) => {
      const { picks } = item();
      const moves = {
        ArrowLeft: () => step(-1, event.shiftKey),
        ArrowRight: () => step(1, event.shiftKey),
        Home: () => picks.length && go(picks[0]),
        End: () => picks.length && go(picks[picks.length - 1]),
        Enter: () => act("togglePin"),
        x: () => act("toggleLeftOut"),
        X: () => act("toggleLeftOut"),
        0: () => chart.reset(),
      };
      if (!chart || !moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      moves[event.key]();
    });

    grid.addEventListener("keydown", (event) => {
      const nodes = Array.from(grid.querySelectorAll("button"));
      const at = nodes.indexOf(document.activeElement);
      if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
      const row = nodes.filter((entry) => entry.offsetTop === nodes[0].offsetTop).length;
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - row, ArrowDown: at + row, Home: 0, End: nodes.length - 1 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        if (nodes[to]) nodes[to].focus();
      } else if (event.key === "Enter" || event.key === "x" || event.key === "X") {
        event.preventDefault();
        say(event.key === "Enter" ? state.togglePin() : state.toggleLeftOut());
      }
    });

    state.listen((what) => {
      if (what === "video") open();
      else if (what === "frame" && chart) {
        chart.redraw();
        drawViewer();
        if (cells.size && grid.querySelector('[data-frame="' + state.frame + '"]') === null && item().chosen.has(state.frame)) drawGrid();
        else mark(grid.contains(document.activeElement));
      } else if (what === "picks" && chart) {
        describeVideo();
        chart.redraw();
        drawViewer();
        drawGrid();
      } else if (what === "scheme" && chart) {
        chart.redraw();
        drawLegend();
      }
    });
    let width = 0;
    new ResizeObserver(() => {
      if (!chart || chartBox.clientWidth === width) return;
      width = chartBox.clientWidth;
      chart.resize();
      drawStrip();
    }).observe(chartBox);

    /* Where the player is: it moves too often to draw the chart anew. */
    function playhead(frame) {
      place.hidden = !chart || frame < 0;
      if (place.hidden) return;
      const { bbox, scales } = chart.plot;
      const at = item().video.time[frame];
      place.hidden = at < scales.x.min || at > scales.x.max;
      place.style.left = (bbox.left / uPlot.pxRatio + chart.plot.valToPos(at, "x")).toFixed(1) + "px";
    }

    return { node, playhead, title };
  }

  return { panel };
})();

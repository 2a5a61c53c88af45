/* The page's head, the budget bar and one row per video. */
const evfrOverview = (() => {
  "use strict";

  const { el, replace, visible, count, number, percent, plural, time } = evfrDom;

  /* What the head says of all videos; null where it is not known. */
  function totals(report) {
    return {
      frames: report.videos.reduce((sum, video) => sum + video.n_frames, 0),
      seconds: report.videos.reduce((sum, video) => sum + (video.duration_seconds || 0), 0),
      failed: report.videos.filter((video) => video.status === "failed").length,
      shots: report.videos.reduce((sum, video) => sum + video.segments.length, 0),
    };
  }

  function header(state, { frames, seconds, failed, shots }, brand = " selection report") {
    const { report } = state;
    const fact = (value, label, kind) => el("div", { class: "fact " + (kind || "") }, el("dd", { text: value }), el("dt", { text: label }));
    const chosen = fact("", "frames chosen", "strong");
    const share = fact("", "of the frames");
    const update = () => {
      chosen.firstChild.textContent = count(state.total());
      share.firstChild.textContent = percent(state.total(), frames);
      how.firstChild.textContent = visible(report.method);
      command.textContent = visible(report.command);
    };
    const how = fact("", "method");
    const command = el("code", { tabindex: "0", "aria-label": "Command that makes this selection" });
    state.listen((what) => what === "picks" && update());
    update();
    const copy = el("button", { class: "quiet", type: "button", text: "Copy", onclick: () => evfrDom.copy(report.command, copy) });
    return el("header", { class: "top" },
      el("p", { class: "brand" }, el("b", { text: "evfr" }), brand, el("span", { class: "muted", text: " \u00b7 version " + report.version })),
      el("h1", { text: report.title }),
      el("dl", { class: "facts" },
        fact(count(frames), "frames in"),
        chosen,
        share,
        fact(count(report.n_videos), failed ? "videos, " + failed + " failed" : report.n_videos === 1 ? "video" : "videos"),
        fact(time(seconds, 0), "running time"),
        shots > report.n_videos - failed ? fact(count(shots), "shots") : null,
        how,
        fact(report.signal, "signal"),
        fact(count(report.allProblems.length), report.allProblems.length === 1 ? "problem" : "problems", report.allProblems.length ? "warn" : "")),
      remarks(report).map((text) => el("p", { class: "note", text })),
      el("div", { class: "command", hidden: report.command === "" }, command, copy));
  }

  /* What holds for the choice over all videos, and how well it covers them. */
  function remarks(report) {
    const { notes = [], coverage } = report.manifest.summary || {};
    if (!coverage || coverage.radius === null) return notes;
    const part = coverage.measured_rows < coverage.rows ? ", on " + count(coverage.measured_rows) + " of them" : "";
    return notes.concat("Over " + count(coverage.rows) + " embedded frames (" + coverage.embedding + ", " + coverage.metric
      + part + "): the nearest chosen frame is " + number(coverage.mean_distance) + " away on average and "
      + number(coverage.radius) + " at most. This is coverage, not what a model learns.");
  }

  function budget(state) {
    const { report, rule } = state;
    const isOpen = rule.isOpen && state.most > 0;
    const top = Math.min(state.most, Math.max(3 * state.original, 30));
    const bounds = { min: state.least, max: top, value: state.n, step: 1, disabled: !isOpen };
    const slider = el("input", Object.assign({ type: "range", id: "budget", "aria-describedby": "budget-note" }, bounds, {
      oninput: () => state.setBudget(Number(slider.value)),
    }));
    const box = el("input", Object.assign({ type: "number", id: "budget-number", "aria-label": "Budget in frames", inputmode: "numeric" }, bounds, {
      max: state.most,
      onchange: () => {
        state.setBudget(Number(box.value));
        box.value = state.n;
      },
    }));
    const share = el("span", { class: "muted" });
    const edits = el("span", { class: "edits" });
    const note = el("p", { class: "note", id: "budget-note" });
    const undo = el("button", { class: "quiet", type: "button", text: "Undo edits", onclick: state.reset });
    const save = el("button", { class: "main", type: "button", id: "export", text: "Export selection", onclick: () => download(state, note) });
    function update() {
      slider.value = String(state.n);
      slider.setAttribute("aria-valuetext", plural(state.n, "frame") + ", " + percent(state.n, state.most));
      box.value = String(state.n);
      share.textContent = "of " + count(state.most) + " usable \u00b7 " + percent(state.n, state.most);
      const pins = state.videos.reduce((sum, item) => sum + item.pins.size, 0);
      const out = state.videos.reduce((sum, item) => sum + item.leftOut.size, 0);
      const words = [];
      if (state.n !== state.original) words.push("budget " + count(state.original) + " \u2192 " + count(state.n));
      if (pins) words.push(count(pins) + " pinned");
      if (out) words.push(count(out) + " left out");
      edits.textContent = words.join(" \u00b7 ");
      edits.hidden = words.length === 0;
      undo.hidden = !state.isEdited();
      note.textContent = visible(state.error || (isOpen ? rule.note : rule.why || "There is no usable frame to budget."));
      note.classList.toggle("warn", Boolean(state.error) || !isOpen);
    }
    state.listen((what) => what === "picks" && update());
    const node = el("section", { class: "budget", "aria-label": "Budget" },
      el("div", { class: "budget-row" },
        el("label", { for: "budget", text: "Budget" }), slider, box, share, el("span", { class: "grow" }), undo, save),
      el("div", { class: "budget-row" }, edits, note));
    update();
    return node;
  }

  function download(state, note) {
    const name = "selection-edited.json";
    const address = URL.createObjectURL(new Blob([state.exportText()], { type: "application/json" }));
    const link = el("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    note.textContent = "Saved as " + name + ". To apply it: evfr select --from " + name + " --out NEW_FOLDER";
  }

  const SIGNS = { ok: "\u2713 ok", partial: "\u25d0 partial", failed: "\u2715 failed" };
  const status = (name) => el("span", { class: "status " + name, text: SIGNS[name] || name });

  function table(state) {
    const { report } = state;
    const { signal } = report;
    const top = Math.max(1.2, ...report.videos.map((video) => valueOf(video.dynamicity, signal) || 0));
    const updates = [];
    const rows = state.videos.map((item, place) => {
      const { video } = item;
      const value = valueOf(video.dynamicity, signal);
      const spark = el("canvas", { class: "spark", role: "img" });
      const chosen = el("b", {});
      const share = el("span", { class: "muted" });
      const bar = el("span", { class: "bar-fill" });
      bar.style.width = (100 * Math.min(1, (value || 0) / top)).toFixed(2) + "%";
      const limit = report.method === "auto" ? Object.assign({}, evfrBudget.DEFAULTS.auto, video.options).threshold : undefined;
      let mark = null;
      if (Number.isFinite(limit) && limit <= top) {
        mark = el("span", { class: "bar-mark", title: "threshold " + number(limit) });
        mark.style.left = ((100 * limit) / top).toFixed(2) + "%";
      }
      const button = el("button", { class: "row-name", type: "button", text: video.video_id, title: video.path, onclick: () => state.show(place) });
      const facts = video.n_frames
        ? [video.width + "\u00d7" + video.height, video.codec, time(video.duration_seconds, 0)].filter(Boolean).join(" \u00b7 ")
        : video.problems.map((problem) => problem.code).join(", ");
      const row = el("tr", { onclick: (event) => event.target.closest("button") === null && state.show(place) },
        el("th", { scope: "row" }, button, el("div", { class: "muted" }, status(video.status), " ", facts)),
        el("td", { class: "curve" }, video.n_frames ? spark : el("span", { class: "muted", text: "no frames" })),
        el("td", { class: "num", "data-label": "frames", text: count(video.n_frames) }),
        el("td", { class: "num", "data-label": "chosen" }, chosen, " ", share),
        el("td", { class: "bars", "data-label": "dynamicity" },
          el("span", { class: "bar" }, bar, mark), el("span", { class: "bar-value", text: video.is_static ? "static" : number(value) })),
        el("td", { class: "why" }, strategies(video).flatMap((name) => [el("b", { class: "chip", text: name }), " "]), el("span", { text: video.method_reason })));
      updates.push({
        row, button,
        draw: () => video.n_frames && evfrCharts.small(spark, item, signal),
        write: () => {
          chosen.textContent = count(item.picks.length);
          share.textContent = percent(item.picks.length, video.n_frames);
          spark.setAttribute("aria-label", "FVI over time with " + plural(item.picks.length, "selected frame"));
        },
      });
      return row;
    });
    const seen = new Set();
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const update = updates[Number(entry.target.dataset.place)];
        if (entry.isIntersecting) {
          seen.add(update);
          update.draw();
        } else seen.delete(update);
      }
    });
    rows.forEach((row, place) => {
      row.dataset.place = String(place);
      watcher.observe(row);
      row.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        const next = updates[place + step];
        if (!step || !next) return;
        event.preventDefault();
        next.button.focus();
      });
    });
    const choose = () => updates.forEach(({ row, button }, place) => {
      row.classList.toggle("current", place === state.place);
      button.setAttribute("aria-current", place === state.place ? "true" : "false");
    });
    const all = () => {
      for (const update of updates) update.write();
      for (const update of seen) update.draw();
    };
    state.listen((what) => {
      if (what === "picks") all();
      else if (what === "video") choose();
      else if (what === "scheme") for (const update of updates) update.draw();
    });
    all();
    choose();
    const head = ["Video", "FVI over time, picks below", "Frames", "Chosen", "Dynamicity", "Strategy and why"];
    return el("section", { class: "videos", "aria-label": "Videos" },
      el("h2", { text: "Videos" }),
      el("div", { class: "scroll" },
        el("table", { class: "overview" },
          el("thead", {}, el("tr", {}, head.map((text, i) => el("th", { scope: "col", class: i === 2 || i === 3 ? "num" : "", text })))),
          el("tbody", {}, rows))));
  }

  /* What served the video: the methods of its shots, or the one asked for. */
  const strategies = (video) =>
    video.method ? Array.from(new Set(video.segments.length ? video.segments.map((part) => part.method) : [video.method])) : [];

  const valueOf = (values, name) => (name in values ? values[name] : Object.values(values)[0]);

  return { header, totals, budget, table, status, valueOf };
})();

/* The list of videos: it comes in parts as the reader scrolls, and all of it when he searches. */
const evfrViewList = (() => {
  "use strict";

  const { el, replace, count, number, percent, plural, time } = evfrDom;
  const PART = 200;
  const FEW = 24;

  function panel(state, fail, grown) {
    const { report } = state;
    const { signal } = report;
    const hasCurves = report.n_videos <= FEW;
    const summaries = [];
    const rows = new Map();
    let shown = 0;
    let asking = null;
    let query = "";
    const names = new Map();

    const search = el("input", { type: "search", id: "search", placeholder: "part of a name", autocomplete: "off", spellcheck: "false" });
    const found = el("span", { class: "muted", role: "status" });
    const body = el("tbody", {});
    const end = el("p", { class: "note list-end" });
    const heads = ["Video", ...(hasCurves ? ["FVI over time, picks below"] : []), "Frames", "Chosen", "Dynamicity"];
    const box = el("div", { class: "scroll list", id: "video-list" },
      el("table", { class: "overview" },
        el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col", class: text === "Frames" || text === "Chosen" ? "num" : "", text })))), body), end);
    const node = el("section", { class: "videos", "aria-label": "Videos" },
      el("div", { class: "list-head" }, el("h2", { text: "Videos" }), report.n_videos > 1 ? [el("label", { for: "search", text: "Find" }), search] : null, found),
      box);

    /* The next part of the list; false where there is none or it failed. */
    function ask() {
      if (summaries.length >= report.n_videos) return Promise.resolve(false);
      if (asking === null) {
        asking = evfrApi.get("/api/videos?offset=" + summaries.length + "&limit=" + PART).then((answer) => {
          const part = Array.isArray(answer) ? answer : answer.videos;
          if (part.length === 0) throw new Error("The list of videos ended at " + summaries.length + " of " + report.n_videos + ".");
          for (const summary of part) {
            summaries.push(summary);
            names.set(summary.video_id, summary.place);
          }
          grown();
          return true;
        }).catch((error) => {
          fail(error.message);
          return false;
        }).finally(() => (asking = null));
      }
      return asking;
    }

    const matches = (summary) => query === "" || summary.video_id.toLowerCase().includes(query);

    const chosenOf = (summary) => {
      const picks = state.picksOf(summary.place);
      return picks === null ? summary.n_selected : picks.length;
    };

    function row(summary) {
      const chosen = el("b", {});
      const share = el("span", { class: "muted" });
      const bar = el("span", { class: "bar-fill" });
      const value = evfrOverview.valueOf(summary.dynamicity !== null && typeof summary.dynamicity === "object" ? summary.dynamicity : { [signal]: summary.dynamicity }, signal);
      bar.style.width = (100 * Math.min(1, (value || 0) / 2)).toFixed(2) + "%";
      const canvas = hasCurves ? el("canvas", { class: "spark", role: "img", "aria-label": "FVI over time" }) : null;
      const open = () => state.show(summary.place);
      const button = el("button", { class: "row-name", type: "button", text: summary.video_id, onclick: open });
      const node = el("tr", { onclick: (event) => event.target.closest("button") === null && open() },
        el("th", { scope: "row" }, button, el("div", { class: "muted" }, evfrOverview.status(summary.status), " ", Number.isFinite(summary.duration) ? time(summary.duration, 0) : ""),
          summary.problem ? el("div", { class: "warn", text: summary.problem }) : null),
        canvas ? el("td", { class: "curve" }, summary.n_frames ? canvas : el("span", { class: "muted", text: "no frames" })) : null,
        el("td", { class: "num", "data-label": "frames", text: count(summary.n_frames) }),
        el("td", { class: "num", "data-label": "chosen" }, chosen, " ", share),
        el("td", { class: "bars", "data-label": "dynamicity" }, el("span", { class: "bar" }, bar), el("span", { class: "bar-value", text: number(value) })));
      node.dataset.place = String(summary.place);
      const write = () => {
        const n = chosenOf(summary);
        const moved = n - summary.n_selected;
        chosen.textContent = count(n);
        share.textContent = percent(n, summary.n_frames) + (moved ? " (" + (moved > 0 ? "+" : "\u2212") + count(Math.abs(moved)) + ")" : "");
        const isHere = summary.place === state.place;
        node.classList.toggle("current", isHere);
        button.setAttribute("aria-current", isHere ? "true" : "false");
      };
      const draw = () => {
        const item = state.videos[summary.place];
        if (canvas && item && item.video.n_frames) evfrCharts.small(canvas, item, signal);
      };
      node.addEventListener("keydown", (event) => {
        const next = { ArrowDown: node.nextSibling, ArrowUp: node.previousSibling }[event.key];
        if (!next) return;
        event.preventDefault();
        next.querySelector("button").focus();
      });
      write();
      if (canvas && summary.n_frames) state.load(summary.place).then(() => requestAnimationFrame(draw), (error) => fail(error.message));
      return { node, write, draw };
    }

    /* Put in the next rows that match; asks for more of the list where too few are known. */
    async function grow() {
      const wanted = query;
      let fresh = 0;
      while (fresh < 60 && wanted === query) {
        if (shown < summaries.length) {
          const summary = summaries[shown++];
          if (!matches(summary)) continue;
          if (!rows.has(summary.place)) rows.set(summary.place, row(summary));
          body.append(rows.get(summary.place).node);
          fresh++;
        } else if (!(await ask())) break;
      }
      if (wanted === query) say();
    }

    function say() {
      const there = body.children.length;
      const isAll = shown >= report.n_videos;
      found.textContent = query ? plural(there, "video") + (isAll ? "" : " so far") + " of " + count(report.n_videos) : report.n_videos > FEW ? count(report.n_videos) + " videos" : "";
      end.textContent = isAll ? (there ? "" : query ? "No video has this in its name." : "There is no video here.") : "Scroll for more: " + count(shown) + " of " + count(report.n_videos) + " looked through.";
      end.hidden = end.textContent === "";
    }

    let busy = Promise.resolve();
    const more = () => (busy = busy.then(grow));
    box.addEventListener("scroll", () => box.scrollTop + box.clientHeight > box.scrollHeight - 300 && shown < report.n_videos && more());
    let timer = 0;
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        query = search.value.trim().toLowerCase();
        shown = 0;
        replace(body);
        more();
      }, 150);
    });
    const all = () => {
      for (const entry of rows.values()) {
        entry.write();
        if (entry.node.isConnected) entry.draw();
      }
    };
    state.listen((what) => ["picks", "video", "scheme"].includes(what) && all());
    new ResizeObserver(() => hasCurves && all()).observe(box);
    return { node, first: more, names, summaries };
  }

  return { panel };
})();

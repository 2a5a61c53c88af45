/* Put the viewer together: the state first, then the list of videos, then the first of them. */
const evfrViewer = (() => {
  "use strict";

  const { el, replace, visible } = evfrDom;
  const app = document.getElementById("app");
  const live = el("div", { class: "off", "aria-live": "polite", role: "status", id: "live" });
  const say = (text) => text && (live.textContent = visible(text));
  const alerts = el("div", { class: "alerts", role: "alert", id: "alerts" });

  /* One sentence for each thing that fails; the same one does not pile up. */
  function fail(text) {
    const shown = visible(text);
    if (Array.from(alerts.children).some((node) => node.firstChild.textContent === shown)) return;
    const node = el("div", { class: "alert" }, el("span", { text }), el("button", { type: "button", class: "quiet", "aria-label": "Dismiss", text: "\u2715", onclick: () => node.remove() }));
    while (alerts.children.length >= 3) alerts.firstChild.remove();
    alerts.append(node);
  }

  const viewer = { state: null, player: null, map: null, isReady: false };

  function build(head) {
    const state = evfrViewState(head, fail);
    const { report } = state;
    document.title = visible(report.title + " \u00b7 evfr view");
    const list = evfrViewList.panel(state, fail, () => isAll() && drawTop());
    const isAll = () => list.summaries.length >= report.n_videos;
    state.total = () => {
      if (state.computed !== null) return Array.from(state.computed.values()).reduce((sum, { picks }) => sum + picks.length, 0);
      if (isAll()) return list.summaries.reduce((sum, summary) => sum + summary.n_selected, 0);
      return (report.manifest.summary || {}).selected || NaN;
    };
    const labels = head.features.labels ? evfrViewLabels.source(state, fail) : null;
    let detail = null;
    let lanes = null;
    const player = evfrViewPlayer.panel(state, labels, say, fail, { tick: (frame) => {
      detail.playhead(frame);
      if (lanes) lanes.place();
    } });
    detail = evfrDetail.panel(state, say, player);
    const form = evfrViewForm.panel(state, say);
    lanes = labels ? evfrViewSide.trust(state, labels) : null;
    const map = head.features.map ? evfrViewMap.panel(state, fail) : null;
    const near = evfrViewSide.neighbours(state, fail);
    const next = head.features.review ? evfrViewSide.next(state, list.names, fail) : null;
    Object.assign(viewer, { state, player, map });

    const top = el("div", {});
    const totals = () => {
      const sum = (name) => list.summaries.reduce((total, summary) => total + (summary[name] || 0), 0);
      return { frames: sum("n_frames"), seconds: sum("duration") || NaN, failed: list.summaries.filter((summary) => summary.status === "failed").length, shots: 0 };
    };
    const { frames = NaN, failed = 0 } = report.manifest.summary || {};
    const unknown = { frames, seconds: NaN, failed, shots: 0 };
    const notes = (head.notes || []).map((text) => el("p", { class: "note", text }));
    const drawTop = () => replace(top, evfrOverview.header(state, isAll() ? totals() : unknown, " viewer"), ...notes);
    const problems = el("div", {});
    const after = el("div", {});
    const main = el("main", {}, form.node, report.n_videos > 1 ? list.node : null, detail.node, lanes && lanes.node, next && next.node, near.node, map && map.node, problems, after);
    const loading = el("p", { class: "note", id: "loading", role: "status", hidden: true });
    detail.node.prepend(loading);
    state.listen((what) => {
      loading.hidden = what !== "loading";
      loading.textContent = what === "loading" ? "Loading the video\u2026" : "";
      if (what === "picks") drawProblems();
    });
    const drawProblems = () => {
      const found = evfrData.once([...report.allProblems, ...state.videos.filter(Boolean).flatMap((item) => item.video.problems)]);
      replace(problems, evfrTables.problems({ allProblems: found }, state, list.names) || el("span", {}));
      replace(after, evfrTables.parameters(report) || el("span", {}));
    };
    replace(app, top, alerts, main, live);
    drawTop();

    list.first().then(async () => {
      drawTop();
      form.fill();
      drawProblems();
      const usable = list.summaries.find((summary) => summary.n_selected > 0) || list.summaries.find((summary) => summary.n_frames > 0) || list.summaries[0];
      if (usable) await state.show(usable.place);
      drawProblems();
      viewer.isReady = true;
    });
    const tell = () => state.place >= 0 && state.repaint();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  }

  async function start() {
    replace(app, el("p", { class: "empty", role: "status", text: "Loading\u2026" }));
    try {
      build(await evfrApi.get("/api/state"));
    } catch (error) {
      replace(app, el("p", { class: "empty", role: "alert", text: error.message }), el("p", {}, el("button", { type: "button", class: "quiet", text: "Try again", onclick: start })));
    }
  }

  start();
  return viewer;
})();

/* Put the page together. */
const evfrReport = (() => {
  "use strict";

  const report = evfrData.load();
  const state = evfrState(report);
  const { el } = evfrDom;
  const live = el("div", { class: "off", "aria-live": "polite", role: "status" });
  const say = (text) => (live.textContent = text);
  const detail = report.videos.length ? evfrDetail.panel(state, say) : null;
  const main = el("main", {},
    evfrOverview.budget(state),
    report.videos.length ? evfrOverview.table(state) : el("p", { class: "empty", text: "There is no video in this report." }),
    detail && detail.node,
    evfrTables.strides(report),
    evfrTables.problems(report, state, new Map(report.videos.map((video, place) => [video.video_id, place]))),
    evfrTables.parameters(report));
  evfrDom.replace(document.getElementById("app"), evfrOverview.header(state, evfrOverview.totals(report)), main, live);
  if (detail) {
    state.show(Math.max(0, report.videos.findIndex((video) => video.n_frames > 0)));
  }

  // Canvases hold colours: draw them again when the colours change, and in light ones for paper.
  const tell = () => state.videos.length && state.repaint();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  const paper = (isPaper) => () => {
    document.documentElement.classList.toggle("paper", isPaper);
    tell();
  };
  window.addEventListener("beforeprint", paper(true));
  window.addEventListener("afterprint", paper(false));

  return Object.freeze({ state, exportText: state.exportText, setBudget: state.setBudget });
})();

/* Hold the reader's edits of a report, and compute in the page what follows from them. */
const evfrState = (report) => {
  "use strict";

  const original = report.videos.reduce((sum, video) => sum + video.selected.length, 0);
  const videos = [];
  const state = Object.assign(evfrEdits(report, videos, () => recompute()), { n: original, original });
  videos.push(...report.videos.map(state.item));

  const rule = evfrBudget.ruleFor(report);
  state.rule = rule;
  state.most = videos.reduce((sum, { video }) => {
    const ruledOut = new Set([...video.exclude, ...video.labeled]);
    let usable = 0;
    video.isSelectable.forEach((flag, frame) => (usable += flag && !ruledOut.has(frame) ? 1 : 0));
    return sum + Math.min(usable, report.maximum === null ? usable : report.maximum);
  }, 0);
  state.least = Math.min(original, videos.reduce((sum, { video }) => sum + Math.max(video.include.length, video.n_frames ? report.minimum || 0 : 0), 0));

  state.isEdited = () => state.n !== original || videos.some((item) => item.pins.size || item.leftOut.size);

  function recompute() {
    state.error = "";
    if (!state.isEdited() || !rule.isOpen) {
      for (const item of videos) state.assign(item, item.video.selected);
    } else {
      try {
        rule.choose(state.n, videos).forEach((picks, i) => state.assign(videos[i], picks));
      } catch (error) {
        state.error = error.message;
      }
    }
    state.tell("picks");
  }

  state.setBudget = (n) => {
    const value = Math.min(state.most, Math.max(state.least, Math.round(n)));
    if (!rule.isOpen || !Number.isFinite(value) || value === state.n) return;
    state.n = value;
    recompute();
  };

  state.reset = () => {
    state.n = original;
    for (const item of videos) {
      item.pins.clear();
      item.leftOut.clear();
    }
    recompute();
  };

  /* The manifest with an "edits" object, which `evfr select --from` reads. */
  state.exportText = () => {
    const list = (name) =>
      videos.flatMap((item) => Array.from(item[name]).sort((a, b) => a - b).map((frame) => [item.video.video_id, frame]));
    const edits = Object.assign(state.isEdited() ? { n: state.n } : {}, { pin: list("pins"), exclude: list("leftOut") });
    return JSON.stringify(Object.assign({}, report.manifest, { edits }), null, 2) + "\n";
  };

  state.total = () => videos.reduce((sum, item) => sum + item.picks.length, 0);
  return state;
};

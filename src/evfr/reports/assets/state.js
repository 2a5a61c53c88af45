/* Hold the reader's edits: the budget, pinned frames and frames left out; and what follows from them. */
const evfrState = (report) => {
  "use strict";

  const listeners = [];
  const original = report.videos.reduce((sum, video) => sum + video.selected.length, 0);
  const videos = report.videos.map((video) => ({
    video,
    pins: new Set(),
    leftOut: new Set(),
    picks: video.selected,
    chosen: new Set(video.selected),
  }));
  const state = { report, videos, n: original, original, place: -1, frame: -1, error: "" };

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

  function assign(item, picks) {
    item.picks = picks;
    item.chosen = new Set(picks);
  }

  function recompute() {
    state.error = "";
    if (!state.isEdited() || !rule.isOpen) {
      for (const item of videos) assign(item, item.video.selected);
    } else {
      try {
        rule.choose(state.n, videos).forEach((picks, i) => assign(videos[i], picks));
      } catch (error) {
        state.error = error.message;
      }
    }
    tell("picks");
  }

  function tell(what) {
    for (const listener of listeners) listener(what);
  }

  state.listen = (listener) => listeners.push(listener);

  state.repaint = () => tell("scheme");

  state.setBudget = (n) => {
    const value = Math.min(state.most, Math.max(state.least, Math.round(n)));
    if (!rule.isOpen || !Number.isFinite(value) || value === state.n) return;
    state.n = value;
    recompute();
  };

  function toggle(name, other, frame) {
    const item = videos[state.place];
    if (frame < 0 || frame >= item.video.n_frames) return "";
    const where = "Frame " + frame + " ";
    if (item[name].delete(frame)) {
      recompute();
      return where + (name === "pins" ? "unpinned" : "may be taken again");
    }
    const { video } = item;
    if (!video.isSelectable[frame]) return where + "is damaged and is never taken";
    if (video.labeled.includes(frame)) return where + "is labelled already";
    if (video.include.includes(frame)) return where + "was asked for by the command: it stays";
    if (video.exclude.includes(frame)) return where + "was left out by the command: it stays out";
    item[other].delete(frame);
    item[name].add(frame);
    recompute();
    return where + (name === "pins" ? "pinned: it will be kept" : "left out");
  }

  state.togglePin = (frame = state.frame) => toggle("pins", "leftOut", frame);
  state.toggleLeftOut = (frame = state.frame) => toggle("leftOut", "pins", frame);

  state.reset = () => {
    state.n = original;
    for (const item of videos) {
      item.pins.clear();
      item.leftOut.clear();
    }
    recompute();
  };

  state.show = (place, frame) => {
    const moved = place !== state.place;
    state.place = place;
    const item = videos[place];
    state.frame = frame !== undefined ? frame : item.picks.length ? item.picks[0] : item.video.n_frames ? 0 : -1;
    tell(moved ? "video" : "frame");
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

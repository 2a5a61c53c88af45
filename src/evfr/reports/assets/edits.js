/* What the report's and the viewer's states share: who listens, which frame is looked at, pins and frames left out. */
const evfrEdits = (report, videos, changed) => {
  "use strict";

  const listeners = [];
  const state = { report, videos, place: -1, frame: -1, error: "" };

  state.tell = (what) => {
    for (const listener of listeners) listener(what);
  };

  state.listen = (listener) => listeners.push(listener);

  state.repaint = () => state.tell("scheme");

  state.assign = (item, picks) => {
    item.picks = picks;
    item.chosen = new Set(picks);
  };

  state.item = (video) => ({ video, pins: new Set(), leftOut: new Set(), picks: video.selected, chosen: new Set(video.selected) });

  function toggle(name, other, frame) {
    const item = videos[state.place];
    if (frame < 0 || frame >= item.video.n_frames) return "";
    const where = "Frame " + frame + " ";
    if (item[name].delete(frame)) {
      changed();
      return where + (name === "pins" ? "unpinned" : "may be taken again");
    }
    const { video } = item;
    if (!video.isSelectable[frame]) return where + "is damaged and is never taken";
    if (video.labeled.includes(frame)) return where + "is labelled already";
    if (video.include.includes(frame)) return where + "was asked for by the command: it stays";
    if (video.exclude.includes(frame)) return where + "was left out by the command: it stays out";
    item[other].delete(frame);
    item[name].add(frame);
    changed();
    return where + (name === "pins" ? "pinned: it will be kept" : "left out");
  }

  state.togglePin = (frame = state.frame) => toggle("pins", "leftOut", frame);
  state.toggleLeftOut = (frame = state.frame) => toggle("leftOut", "pins", frame);

  state.show = (place, frame) => {
    const moved = place !== state.place;
    state.place = place;
    const item = videos[place];
    const last = item.video.n_frames - 1;
    state.frame = frame !== undefined ? Math.min(frame, last) : item.picks.length ? item.picks[0] : item.video.n_frames ? 0 : -1;
    state.tell(moved ? "video" : "frame");
  };

  return state;
};

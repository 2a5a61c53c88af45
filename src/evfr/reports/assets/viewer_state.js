/* Hold what the viewer knows: the videos loaded so far, the edits, the selection that was saved and the one computed since. */
const evfrViewState = (head, fail) => {
  "use strict";

  const { count, context } = evfrDom;
  const report = Object.assign({}, head.report, { allProblems: evfrData.once(head.report.problems) });
  const videos = new Array(report.n_videos);
  const loading = new Map();
  const state = evfrEdits(report, videos, () => {
    state.isStale = true;
    state.tell("picks");
  });
  state.head = head;
  state.saved = { method: report.method, parameters: report.parameters };
  state.computed = null;
  state.isStale = false;
  state.isBusy = false;
  state.playing = -1;

  const list = (packed) => (Array.isArray(packed) ? Int32Array.from(packed) : evfrData.unpack(packed));

  /* Small pictures are exact frames, asked for while the video is looked at. */
  function pictures(place, n) {
    return {
      nearest: (frame) => (n ? frame : -1),
      has: () => n > 0,
      isEmpty: () => n === 0,
      paint(pen, frame, x, y, width, height) {
        const wanted = width * Math.min(window.devicePixelRatio || 1, 2) > 200 ? 320 : 160;
        return evfrApi.frame(place, frame, wanted, () => state.place === place).then((image) => {
          if (image === null) return false;
          const scale = Math.max(width / image.width, height / image.height);
          const [w, h] = [width / scale, height / scale];
          pen.imageSmoothingQuality = "high";
          pen.drawImage(image, (image.width - w) / 2, (image.height - h) / 2, w, h, x, y, width, height);
          return true;
        }, (error) => {
          fail(error.message);
          return false;
        });
      },
    };
  }

  /* A video's item, asked for once. */
  function load(place) {
    if (videos[place]) return Promise.resolve(videos[place]);
    if (!loading.has(place)) {
      loading.set(place, evfrApi.get("/api/video/" + place).then((raw) => {
        const video = evfrData.video(raw, place, pictures(place, raw.n_frames));
        const item = Object.assign(state.item(video), { savedPicks: video.selected, savedFacts: video.facts });
        videos[place] = item;
        apply(item);
        return item;
      }).finally(() => loading.delete(place)));
    }
    return loading.get(place);
  }

  /* Show the computed selection of a video, or the saved one where none is computed. */
  function apply(item) {
    const found = state.computed && state.computed.get(item.video.place);
    if (!found) {
      item.video.facts = state.computed ? new Map() : item.savedFacts;
      state.assign(item, state.computed ? new Int32Array(0) : item.savedPicks);
      item.video.selected = item.picks;
      return;
    }
    item.video.facts = found.facts;
    item.video.selected = found.picks;
    state.assign(item, found.picks);
  }

  let asked = 0;
  const shown = state.show;
  /* Show a frame of a video; the newest wish wins. Resolves when it is shown. */
  state.show = (place, frame) => {
    const mine = ++asked;
    if (videos[place]) {
      shown(place, frame);
      return Promise.resolve(true);
    }
    state.tell("loading");
    return load(place).then(() => {
      if (mine === asked) shown(place, frame);
      return mine === asked;
    }, (error) => {
      fail(error.message);
      state.tell("loaded");
      return false;
    });
  };

  const edited = () => videos.filter((item) => item && (item.pins.size || item.leftOut.size));
  state.isEdited = () => state.isStale || state.computed !== null || edited().length > 0;
  const pairs = (name) => edited().flatMap((item) => Array.from(item[name]).sort((a, b) => a - b).map((frame) => [item.video.place, frame]));
  state.pins = () => pairs("pins");
  state.leftOut = () => pairs("leftOut");

  /* What a computed selection changed, by place: frames that came and frames that went. */
  function changes(before, after) {
    const rows = [];
    for (const place of new Set([...before.keys(), ...after.keys()])) {
      const old = new Set(before.get(place) || []);
      const now = new Set(after.get(place) || []);
      const added = Array.from(now).filter((frame) => !old.has(frame));
      const dropped = Array.from(old).filter((frame) => !now.has(frame));
      if (added.length || dropped.length) rows.push({ place, added, dropped });
    }
    return rows.sort((a, b) => a.place - b.place);
  }

  /* Ask the server for the selection of these words, and show it. */
  state.select = async (words) => {
    state.isBusy = true;
    state.tell("busy");
    try {
      const answer = await evfrApi.post("/api/select", words);
      state.computed = new Map(answer.videos.map((entry) => {
        const picks = list(entry.selected);
        const rank = entry.rank ? list(entry.rank) : [];
        const reasons = entry.reasons || [];
        const reason = (i) => (Array.isArray(reasons) ? reasons[i] : reasons.texts[reasons.index[i]]) || "";
        const facts = new Map(Array.from(picks, (frame, i) => [frame, { rank: i < rank.length ? rank[i] : i, inclusion: NaN, reason: reason(i), file: null }]));
        return [entry.place, { picks, facts }];
      }));
      for (const name of ["method", "parameters", "signal", "command"]) if (answer.report && name in answer.report) report[name] = answer.report[name];
      report.allProblems = evfrData.once((answer.report || report).problems || []);
      state.seconds = answer.seconds;
      state.isStale = false;
      for (const item of videos) if (item) apply(item);
      return answer;
    } finally {
      state.isBusy = false;
      state.tell("picks");
    }
  };

  /* Back to what is saved, with no pins and nothing left out. */
  state.reset = () => {
    state.computed = null;
    state.isStale = false;
    Object.assign(report, state.saved);
    for (const item of videos) {
      if (!item) continue;
      item.pins.clear();
      item.leftOut.clear();
      apply(item);
    }
    state.tell("reset");
    state.tell("picks");
  };

  /* What changed since the saved selection; the list of videos knows the saved counts of videos that are not loaded. */
  state.changes = () => {
    if (state.computed === null) return { rows: [], added: 0, dropped: 0 };
    const before = new Map();
    const after = new Map();
    for (const item of videos) {
      if (!item) continue;
      before.set(item.video.place, item.savedPicks);
      after.set(item.video.place, item.picks);
    }
    const rows = changes(before, after);
    const sum = (name) => rows.reduce((total, row) => total + row[name].length, 0);
    return { rows, added: sum("added"), dropped: sum("dropped") };
  };

  state.picksOf = (place) => {
    if (state.computed === null) return videos[place] ? videos[place].savedPicks : null;
    const found = state.computed.get(place);
    return found ? found.picks : new Int32Array(0);
  };

  state.load = load;
  return state;
};

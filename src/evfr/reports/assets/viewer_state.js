/* Hold what the viewer knows: the videos loaded so far, the edits, the selection that was saved and the one computed since. */
const evfrViewState = (head, fail) => {
  "use strict";

  const report = Object.assign({}, head.report, { allProblems: evfrData.once(head.report.problems) });
  const videos = new Array(report.n_videos);
  const loading = new Map();
  const state = evfrEdits(report, videos, () => {
    state.isStale = true;
    state.edition++;
    state.tell("picks");
    state.tell("edit");
  });
  state.edition = 0;
  state.head = head;
  state.saved = { method: report.method, parameters: report.parameters, command: report.command, allProblems: report.allProblems };
  state.computed = null;
  state.isStale = false;
  state.isBusy = false;
  state.playing = -1;

  const NOTHING = { picks: new Int32Array(0), facts: new Map(), look: null };
  // Whether the computed selection is over all videos; the others keep what is saved.
  state.isWhole = true;

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
        const { selected: picks, facts, method, method_reason, segments } = video;
        const item = Object.assign(state.item(video), { saved: { picks, facts, look: { method, method_reason, segments } } });
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
    const { picks, facts, look } = found || (state.isWhole && state.computed ? NOTHING : item.saved);
    Object.assign(item.video, look || item.saved.look, { facts, selected: picks });
    state.assign(item, picks);
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

  /* One video of the server's answer, as the page shows it. */
  function read(entry) {
    const picks = list(entry.selected);
    const facts = new Map(Array.from(picks, (frame, i) => [frame, {
      rank: entry.rank[i], inclusion: entry.inclusion && entry.inclusion[i] !== null ? entry.inclusion[i] : NaN, reason: entry.reasons[i] || "", file: null,
    }]));
    const segments = (entry.segments || []).map(([start, stop, method, reason, dynamicity, n]) => ({ start, stop, method, reason, dynamicity, n }));
    return { picks, facts, look: { method: entry.method || "", method_reason: entry.method_reason || "", segments } };
  }

  /* Ask the server for the selection of these words, and show it. */
  state.select = async (words) => {
    state.isBusy = true;
    state.tell("busy");
    const edition = state.edition;
    try {
      const answer = await evfrApi.post("/api/select", words);
      state.isWhole = words.places === undefined;
      state.computed = new Map(answer.videos.map((entry) => [entry.place, read(entry)]));
      for (const name of ["method", "parameters", "signal", "command"]) if (answer.report && name in answer.report) report[name] = answer.report[name];
      report.allProblems = evfrData.once((answer.report || report).problems || []);
      state.seconds = answer.seconds;
      state.isStale = edition !== state.edition;
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

  /* What changed since the saved selection, in the videos that were looked at. */
  state.changes = () => {
    if (state.computed === null) return { rows: [], added: 0, dropped: 0 };
    const before = new Map();
    const after = new Map();
    for (const item of videos) {
      if (!item) continue;
      before.set(item.video.place, item.saved.picks);
      after.set(item.video.place, item.picks);
    }
    const rows = changes(before, after);
    const sum = (name) => rows.reduce((total, row) => total + row[name].length, 0);
    return { rows, added: sum("added"), dropped: sum("dropped") };
  };

  state.picksOf = (place) => {
    const found = state.computed && state.computed.get(place);
    if (found) return found.picks;
    if (state.computed && state.isWhole) return NOTHING.picks;
    return videos[place] ? videos[place].saved.picks : null;
  };

  state.load = load;
  return state;
};

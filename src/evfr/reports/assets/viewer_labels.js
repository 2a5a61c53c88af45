/* Labels of the frames around the one shown: asked for in parts, masks traced once, drawn in the colour of their trust. */
const evfrViewLabels = (() => {
  "use strict";

  const PART = 100;
  const GRID = 400;
  // From the limit up to 1; below the limit is the warning's red.
  const SCALE = [[230, 178, 60], [60, 200, 150], [86, 180, 233]];

  /* Run lengths of COCO's text: numbers of five bits to a sign, each told from the one before the last. */
  function runs(text) {
    const found = [];
    for (let at = 0; at < text.length;) {
      let value = 0;
      let shift = 0;
      let sign = 32;
      while (sign & 32 && at < text.length) {
        sign = text.charCodeAt(at++) - 48;
        value |= (sign & 31) << shift;
        shift += 5;
        if (!(sign & 32) && sign & 16 && shift < 32) value |= -1 << shift;
      }
      found.push(found.length > 2 ? value + found[found.length - 2] : value);
    }
    return found;
  }

  /* Closed outlines of a mask in pixels of the video, as x and y in turn. */
  function outlines({ counts, size }) {
    const [height, width] = size;
    const lengths = typeof counts === "string" ? runs(counts) : counts;
    const spans = [];
    let place = 0;
    let [left, right, top, bottom] = [width, 0, height, 0];
    lengths.forEach((length, i) => {
      if (i % 2 && length > 0) {
        const last = place + length - 1;
        const [a, b] = [Math.floor(place / height), Math.floor(last / height)];
        spans.push([place, last]);
        left = Math.min(left, a);
        right = Math.max(right, b);
        top = Math.min(top, a === b ? place % height : 0);
        bottom = Math.max(bottom, a === b ? last % height : height - 1);
      }
      place += length;
    });
    if (spans.length === 0 || place > width * height) return [];
    const bits = new Uint8Array((right - left + 1) * height);
    for (const [from, to] of spans) bits.fill(1, from - left * height, to - left * height + 1);
    const step = Math.max(1, Math.ceil(Math.max(right - left, bottom - top) / GRID));
    const w = Math.floor((right - left) / step) + 1;
    const h = Math.floor((bottom - top) / step) + 1;
    const at = (x, y) => x >= 0 && y >= 0 && x < w && y < h && bits[Math.min(right - left, x * step + (step >> 1)) * height + Math.min(bottom, top + y * step + (step >> 1))] === 1;
    return trace(at, w, h).map((points) => points.map((value, i) => (i % 2 ? top : left) + value * step));
  }

  /* Follow the edges between inside and outside, inside to the right; every loop closes. */
  function trace(at, w, h) {
    const across = w + 1;
    const out = new Int32Array(across * (h + 1) * 2).fill(-1);
    const edge = (from, to) => (out[2 * from + (out[2 * from] < 0 ? 0 : 1)] = to);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        if (!at(x, y)) continue;
        const corner = y * across + x;
        if (!at(x, y - 1)) edge(corner, corner + 1);
        if (!at(x + 1, y)) edge(corner + 1, corner + across + 1);
        if (!at(x, y + 1)) edge(corner + across + 1, corner + across);
        if (!at(x - 1, y)) edge(corner + across, corner);
      }
    }
    const loops = [];
    for (let start = 0; 2 * start < out.length; start++) {
      while (out[2 * start] >= 0) {
        const points = [];
        let here = start;
        let before = 0;
        do {
          const next = out[2 * here];
          out[2 * here] = out[2 * here + 1];
          out[2 * here + 1] = -1;
          if (next - here !== before) points.push(here % across, Math.floor(here / across));
          before = next - here;
          here = next;
        } while (here !== start);
        loops.push(points);
      }
    }
    return loops;
  }

  function shapes(object) {
    if (object.polygons === undefined) {
      const [x0, y0, x1, y1] = object.box_xyxy || [];
      object.polygons = object.rle ? outlines(object.rle) : object.box_xyxy ? [[x0, y0, x1, y0, x1, y1, x0, y1]] : [];
    }
    return object.polygons;
  }

  function mixed(share) {
    const place = Math.min(1, Math.max(0, share)) * (SCALE.length - 1);
    const [low, high] = [SCALE[Math.floor(place)], SCALE[Math.ceil(place)]];
    return "rgb(" + low.map((value, i) => Math.round(value + (high[i] - value) * (place % 1))).join(", ") + ")";
  }

  function source(state, fail) {
    const limit = Number.isFinite(state.head.min_trust) ? state.head.min_trust : 0.5;
    const videos = new Map();

    const isHuman = (object) => object.source === "human";
    const isLow = (object) => !isHuman(object) && Number.isFinite(object.trust) && object.trust < limit;
    const number = (object) => (object.track_id === null || object.track_id < 0 ? null : object.track_id);
    const trackColour = (object) => evfrOutline.trackColour(number(object) === null ? 3 : number(object));

    function colourOf(object, by) {
      if (by === "track") return trackColour(object);
      if (isHuman(object)) return "#ffffff";
      if (!Number.isFinite(object.trust)) return "#a0a7b1";
      return isLow(object) ? evfrOutline.LOW : mixed((object.trust - limit) / Math.max(1e-9, 1 - limit));
    }

    const store = (place) => {
      if (!videos.has(place)) videos.set(place, { frames: new Map(), parts: new Map() });
      return videos.get(place);
    };

    /* Ask for the part of a video that a frame is in, once. */
    function need(place, frame) {
      const known = store(place);
      const part = Math.floor(frame / PART);
      if (!known.parts.has(part)) {
        const { n_frames: n } = state.videos[place].video;
        const first = part * PART;
        const last = Math.min(n, first + PART) - 1;
        known.parts.set(part, evfrApi.get("/api/labels/" + place + "?first=" + first + "&last=" + last).then((answer) => {
          for (const entry of Array.isArray(answer) ? answer : answer.frames) known.frames.set(entry.frame_index, entry.objects);
          for (let at = first; at <= last; at++) if (!known.frames.has(at)) known.frames.set(at, []);
        }, (error) => {
          fail(error.message);
          for (let at = first; at <= last; at++) known.frames.set(at, []);
        }));
      }
      return known.parts.get(part);
    }

    /* The objects of a frame, or null while they are asked for; what comes next is asked for ahead. */
    function at(place, frame) {
      const { n_frames: n } = state.videos[place].video;
      if (frame % PART > PART / 2 && frame + PART / 2 < n) need(place, frame + PART / 2);
      need(place, frame);
      return store(place).frames.get(frame) || null;
    }

    /* Draw a frame's objects into a canvas of w by h. */
    function paint(pen, place, frame, w, h, by) {
      const { width, height } = state.videos[place].video;
      const objects = at(place, frame) || [];
      const scale = [w / Math.max(1, width), h / Math.max(1, height)];
      const area = (object) => (object.box_xyxy ? (object.box_xyxy[2] - object.box_xyxy[0]) * (object.box_xyxy[3] - object.box_xyxy[1]) : 0);
      const ranked = objects.slice().sort((a, b) => area(b) - area(a));
      for (const object of ranked) evfrOutline.draw(pen, shapes(object), scale, { colour: colourOf(object, by), isHuman: isHuman(object), isLow: isLow(object) }, 1.3);
      for (const object of ranked) {
        const text = (number(object) === null ? String(object.category) : "#" + object.track_id) + (isHuman(object) || !Number.isFinite(object.trust) ? "" : " " + object.trust.toFixed(2));
        if (shapes(object).length) evfrOutline.tag(pen, shapes(object), scale, evfrDom.visible(text), colourOf(object, by), w, h);
      }
    }

    function describe(place, frame) {
      const objects = at(place, frame);
      if (objects === null || objects.length === 0) return "";
      const trusts = objects.filter((object) => !isHuman(object) && Number.isFinite(object.trust)).map((object) => object.trust);
      return evfrDom.plural(objects.length, "object") + (trusts.length ? ", least trust " + evfrDom.number(Math.min(...trusts)) : "");
    }

    /* What the lanes of trust are drawn from, as far as it is known. */
    function lanes(place) {
      const { video } = state.videos[place];
      const { n_frames: n, time } = video;
      const tracks = new Map();
      const labelled = new Set();
      for (const [frame, objects] of store(place).frames) {
        for (const object of objects) {
          const id = number(object);
          if (id === null) continue;
          if (!tracks.has(id)) {
            const trust = new Float32Array(n).fill(NaN);
            tracks.set(id, { id, name: String(object.category), colour: trackColour(object), state: new Uint8Array(n), trust, trustAt: (at) => (Number.isFinite(trust[at]) ? trust[at] : null) });
          }
          const track = tracks.get(id);
          track.state[frame] = isHuman(object) ? 1 : isLow(object) ? 3 : 2;
          if (Number.isFinite(object.trust)) track.trust[frame] = object.trust;
          if (isHuman(object)) labelled.add(frame);
        }
      }
      const span = n > 1 ? [time[0], time[n - 1] + (time[n - 1] - time[0]) / (n - 1)] : [time[0] || 0, (time[0] || 0) + 1];
      if (!(span[1] > span[0])) span[1] = span[0] + 1;
      const edge = (frame) => (frame < n ? time[frame] : span[1]);
      return {
        n_frames: n, times: time, span, min_trust: limit, cuts: Array.from(video.cuts), ends: [],
        labelled: Array.from(labelled).sort((a, b) => a - b),
        tracks: Array.from(tracks.values()).sort((a, b) => a.id - b.id),
        place: (width) => (frame) => Math.min(width, Math.max(0, ((edge(frame) - span[0]) / (span[1] - span[0])) * width)),
        frameAt: (part) => evfrCharts.nearestFrame(time, span[0] + part * (span[1] - span[0])),
      };
    }

    return { at, need, paint, describe, lanes, limit, PART };
  }

  return { source, outlines };
})();

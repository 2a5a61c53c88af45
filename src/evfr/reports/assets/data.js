/* Read the page's data blocks into typed arrays. */
const evfrData = (() => {
  "use strict";

  const TYPES = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i8: BigInt64Array, u1: Uint8Array };
  const PTS_NONE = -(2n ** 63n);

  let pending = 0;

  function block(name) {
    const node = document.getElementById("evfr-" + name);
    return node === null ? null : JSON.parse(node.textContent);
  }

  function unpack(packed) {
    const text = atob(packed.base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new TYPES[packed.type](bytes.buffer);
  }

  function flags(runs, length) {
    const array = new Uint8Array(length);
    for (const [start, stop] of runs) array.fill(1, start, stop);
    return array;
  }

  /* A video as the server or a block of the page holds it, with what draws its small pictures. */
  function video(raw, place, pictures) {
    const curves = Object.entries(raw.curves).map(([name, packed]) => ({ name, values: unpack(packed) }));
    const value = Object.assign({}, raw, {
      place,
      time: unpack(raw.time_seconds),
      pts: unpack(raw.pts),
      curves,
      isSuspect: flags(raw.suspect, raw.n_frames),
      isSelectable: flags(raw.selectable, raw.n_frames),
      cuts: unpack(raw.cuts),
      selected: unpack(raw.selected),
      rank: unpack(raw.rank),
      inclusion: unpack(raw.inclusion),
      weights: unpack(raw.weights),
      order: raw.order === null ? null : unpack(raw.order),
      segments: raw.segments.map(([start, stop, method, reason, dynamicity, n]) => ({
        start, stop, method, reason, dynamicity, n,
      })),
    });
    value.facts = new Map();
    value.selected.forEach((frame, i) =>
      value.facts.set(frame, {
        rank: value.rank[i],
        inclusion: value.inclusion[i],
        reason: raw.reasons.texts[raw.reasons.index[i]],
        file: raw.files.length ? raw.files[i] : null,
      }));
    value.thumbs = pictures;
    return value;
  }

  /* Thumbnails of one video: sheets are parsed and decoded when first drawn. */
  function thumbs(place) {
    let sheets = null;
    const cells = new Map();
    let frames = [];

    function load() {
      if (sheets !== null) return;
      sheets = (block("sheets-" + place) || []).map((raw) => Object.assign({ image: null }, raw));
      sheets.forEach((sheet) => {
        unpack(sheet.frame_index).forEach((frame, i) => {
          if (!cells.has(frame)) cells.set(frame, { sheet, x: (i % sheet.columns) * sheet.cell[0], y: Math.floor(i / sheet.columns) * sheet.cell[1] });
        });
      });
      frames = Int32Array.from(cells.keys()).sort();
    }

    function decoded(sheet) {
      if (sheet.image === null) {
        const image = new Image();
        image.src = "data:image/jpeg;base64," + sheet.jpeg;
        sheet.jpeg = null;
        sheet.image = image.decode().then(() => image);
      }
      return sheet.image;
    }

    /* The frame whose thumbnail is nearest, or -1. */
    function nearest(frame) {
      load();
      if (frames.length === 0) return -1;
      let low = 0;
      let high = frames.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (frames[middle] < frame) low = middle + 1;
        else high = middle;
      }
      if (low > 0 && frame - frames[low - 1] <= frames[low] - frame) return frames[low - 1];
      return frames[low];
    }

    /* Draw a frame's thumbnail into a box of a 2D context, covering it; resolves when drawn. */
    function paint(pen, frame, x, y, width, height) {
      load();
      const cell = cells.get(frame);
      if (cell === undefined) return Promise.resolve(false);
      const [w, h] = cell.sheet.size;
      pending++;
      return decoded(cell.sheet).finally(() => pending--).then((image) => {
        const scale = Math.max(width / w, height / h);
        const sw = width / scale;
        const sh = height / scale;
        pen.imageSmoothingQuality = "high";
        pen.drawImage(image, cell.x + (w - sw) / 2, cell.y + (h - sh) / 2, sw, sh, x, y, width, height);
        return true;
      });
    }

    return {
      nearest,
      paint,
      has: (frame) => (load(), cells.has(frame)),
      isEmpty: () => (load(), frames.length === 0),
    };
  }

  function once(problems) {
    const seen = new Set();
    return problems.filter((item) => {
      const key = JSON.stringify(item);
      return seen.has(key) ? false : seen.add(key);
    });
  }

  function load() {
    const report = block("report");
    report.videos = Array.from({ length: report.n_videos }, (_, place) => video(block("video-" + place), place, thumbs(place)));
    report.allProblems = once([...report.problems, ...report.videos.flatMap((item) => item.problems)]);
    return report;
  }

  return { load, block, video, thumbs, unpack, once, PTS_NONE, isIdle: () => pending === 0 };
})();

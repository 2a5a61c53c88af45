/* What stands around the player: trust over time, the dropped frames most like the one shown, what to label next. */
const evfrViewSide = (() => {
  "use strict";

  const { el, replace, visible, count, number, plural, time, context } = evfrDom;
  const FIRST = 5;
  const MOST_FRAMES = 20000;

  function canvasOf(place, frame, video, width, isWanted) {
    const shape = video && video.width > 0 && video.height > 0 ? video.height / video.width : 9 / 16;
    const [w, h] = shape > 1.2 ? [Math.round((width * 0.75) / shape), Math.round(width * 0.75)] : [width, Math.round(width * shape)];
    const canvas = el("canvas", { "aria-hidden": "true" });
    canvas.style.aspectRatio = w + " / " + h;
    const pen = context(canvas, w, h);
    const done = evfrApi.frame(place, frame, width > 200 ? 320 : 160, isWanted).then((image) => {
      if (image === null) return;
      const scale = Math.min(w / image.width, h / image.height);
      pen.drawImage(image, (w - image.width * scale) / 2, (h - image.height * scale) / 2, image.width * scale, image.height * scale);
    });
    return { canvas, done };
  }

  /* The dropped frames nearest to the shown one, beside it. */
  function neighbours(state, fail) {
    const row = el("div", { class: "side-by-side" });
    const note = el("p", { class: "note", role: "status" });
    const node = el("section", { "aria-labelledby": "near-title" }, el("h2", { id: "near-title", text: "Dropped frames most like this one" }), row, note);
    let timer = 0;
    let ticket = 0;

    async function draw() {
      const mine = ++ticket;
      const { place, frame } = state;
      const item = state.videos[place];
      if (frame < 0 || !item || item.video.n_frames === 0) {
        replace(row);
        note.textContent = "No frame is shown.";
        return;
      }
      let answer;
      try {
        answer = await evfrApi.get("/api/neighbours/" + place + "/" + frame);
      } catch (error) {
        if (mine !== ticket) return;
        replace(row);
        note.textContent = visible(error.message);
        return;
      }
      if (mine !== ticket) return;
      const found = (Array.isArray(answer) ? answer : answer.neighbours).slice(0, FIRST);
      const wanted = () => mine === ticket;
      const figure = (index, kind, caption, text) => {
        const { canvas, done } = canvasOf(place, index, item.video, 240, wanted);
        done.catch((error) => fail(error.message));
        return el("figure", { class: "frame " + kind }, canvas, el("figcaption", {}, kind === "near-one"
          ? el("button", { type: "button", class: "row-name", text: caption, onclick: () => state.show(place, index) }) : el("b", { text: caption }),
        " ", el("span", { class: "muted", text })));
      };
      replace(row, figure(frame, "here", "frame " + count(frame), item.chosen.has(frame) ? "selected" : "dropped"),
        ...found.map((entry) => figure(entry.frame_index, "near-one", "frame " + count(entry.frame_index),
          (Number.isFinite(entry.distance) ? "distance " + number(entry.distance, 3) + " \u00b7 " : "") + time(item.video.time[entry.frame_index]))));
      note.textContent = found.length === 0 ? "No frame was dropped near this one." : answer.measure ? visible("Nearest by " + answer.measure + ".") : "";
    }

    state.listen((what) => {
      if (!["video", "frame", "picks"].includes(what) || state.place < 0) return;
      clearTimeout(timer);
      timer = setTimeout(draw, 200);
    });
    return { node };
  }

  /* Frames that ask for a label, most worth first. */
  function next(state, names, fail) {
    const grid = el("div", { class: "picks", role: "group", "aria-label": "Frames to label next" });
    const note = el("p", { class: "note", text: "Loading\u2026" });
    const more = el("button", { class: "quiet", type: "button", hidden: true });
    const node = el("section", { "aria-labelledby": "next-title" }, el("h2", { id: "next-title", text: "Label these next" }), grid, more, note);
    let rows = [];
    let shown = 0;

    function cell(row, place) {
      const item = state.videos[row.place];
      const { canvas, done } = canvasOf(row.place, row.frame_index, item && item.video, 150, () => true);
      done.catch((error) => fail(error.message));
      const why = row.reason || (Number.isFinite(row.trust) ? "trust " + number(row.trust) : "");
      return el("button", {
        type: "button", class: "pick", "data-place": row.place, "data-frame": row.frame_index, title: why,
        "aria-label": "frame " + row.frame_index + (state.report.n_videos > 1 ? " of video " + (row.place + 1) : "") + (why ? ", " + why : ""),
        onclick: () => state.show(row.place, row.frame_index).then(() => document.getElementById("detail-title").scrollIntoView({ block: "start" })),
      }, canvas,
        el("span", { class: "pick-text" }, el("b", { text: count(row.frame_index) }), Number.isFinite(row.trust) ? " trust " + number(row.trust) : "", el("span", { class: "rank", text: "#" + (place + 1) })),
        el("span", { class: "pick-why", text: why }));
    }

    function grow() {
      grid.append(...rows.slice(shown, shown + 24).map((row, i) => cell(row, shown + i)));
      shown = Math.min(rows.length, shown + 24);
      more.hidden = shown >= rows.length;
      more.textContent = "Show more of " + count(rows.length - shown);
    }
    more.addEventListener("click", grow);

    async function load() {
      try {
        const answer = await evfrApi.get("/api/review");
        rows = Array.isArray(answer) ? answer : answer.review;
        note.textContent = rows.length ? "In this order: a label there lifts most." : "No frame asks for a label.";
        grow();
      } catch (error) {
        note.textContent = visible(error.message);
        note.classList.add("warn");
      }
    }

    const mark = () => {
      for (const entry of grid.children) entry.classList.toggle("current", Number(entry.dataset.frame) === state.frame && Number(entry.dataset.place) === state.place);
    };
    state.listen((what) => ["video", "frame"].includes(what) && mark());
    load();
    return { node };
  }

  /* One lane for each track; it fills as the labels come. */
  function trust(state, labels) {
    const holder = el("div", { class: "chart-holder", id: "lanes" });
    const note = el("p", { class: "note", role: "status" });
    const key = (kind, text) => el("span", { class: "key" }, el("i", { class: "sign sign-" + kind }), text);
    const node = el("section", { class: "detail", "aria-labelledby": "trust-title" },
      el("div", { class: "detail-head" }, el("h2", { id: "trust-title", text: "Trust over time" }),
        el("div", { class: "legend" }, key("label", "labelled"), key("low", "below " + number(labels.limit)), key("cut", "cut"))),
      holder, note);
    let lanes = null;
    let ticket = 0;
    const tip = el("div", { class: "tip", hidden: true });

    function build(place) {
      const report = labels.lanes(place);
      if (report.tracks.length === 0) {
        lanes = null;
        replace(holder);
        return 0;
      }
      lanes = evfrLanes.panel(report, {
        frame: () => (state.playing >= 0 ? state.playing : state.frame),
        go: (frame) => state.show(state.place, frame),
        hover: (frame, track, event) => {
          tip.hidden = frame < 0;
          if (frame < 0) return;
          const value = track.trustAt(frame);
          replace(tip, el("div", { class: "tip-text" }, el("b", { text: "frame " + count(frame) + " \u00b7 " + time(report.times[frame]) }),
            el("span", { text: "#" + track.id + " " + track.name }), el("span", { class: "muted", text: track.state[frame] === 0 ? "absent" : track.state[frame] === 1 ? "labelled by people" : "trust " + number(value) })));
          const box = holder.getBoundingClientRect();
          const left = event.clientX - box.left;
          tip.style.left = Math.max(0, left + 16 + tip.offsetWidth > box.width ? left - tip.offsetWidth - 16 : left + 16) + "px";
          tip.style.top = event.clientY - box.top + 14 + "px";
        },
      });
      replace(holder, lanes.node, tip, lanes.more);
      return report.tracks.length;
    }

    async function fill() {
      const mine = ++ticket;
      const { place } = state;
      const { n_frames: n } = state.videos[place].video;
      lanes = null;
      replace(holder);
      const last = Math.min(n, MOST_FRAMES);
      for (let first = 0; first < last; first += labels.PART) {
        await labels.need(place, first);
        if (mine !== ticket) return;
        note.textContent = "Reading labels: frame " + count(Math.min(last, first + labels.PART)) + " of " + count(n) + ".";
        if (first === 0 || first % (20 * labels.PART) === 0) build(place);
      }
      const tracks = build(place);
      note.textContent = tracks === 0 ? "There is no labelled track in this video." : last < n ? "The lanes show the first " + count(last) + " of " + count(n) + " frames."
        : plural(tracks, "track") + ", the least trusted first; height is trust, from 0 to 1. Click a lane to go to the frame.";
    }

    state.listen((what) => {
      if (what === "video") fill();
      else if (what === "frame" && lanes) lanes.place();
      else if (what === "scheme" && lanes) lanes.paint();
    });
    return { node, place: () => lanes && lanes.place() };
  }

  return { neighbours, next, trust };
})();

/* The video with its labels on it: it plays where the browser can, and shows the exact frame whenever it stands still. */
const evfrViewPlayer = (() => {
  "use strict";

  const { el, visible, count, time, context } = evfrDom;
  const WIDTHS = [320, 640, 960, 1280, 1600, 1920];
  const AHEAD = 4;
  const PATIENCE_MS = 8000;
  const PLAYS = /\.(mp4|m4v|mov|webm)$/i;
  const CODECS = /^(h264|avc1?|vp8|vp9|av1)$/i;

  function panel(state, labels, say, fail, on) {
    const video = el("video", { class: "media", preload: "auto", playsinline: true, "aria-hidden": "true", tabindex: "-1" });
    video.muted = true;
    const picture = el("canvas", { class: "picture", id: "picture", role: "img" });
    const overlay = el("canvas", { class: "overlay", id: "overlay", "aria-hidden": "true" });
    const stage = el("div", { class: "stage", id: "player", tabindex: "0", role: "group", "aria-label": "Player", "aria-describedby": "player-keys" }, video, picture, overlay);
    const caption = el("b", {});
    const facts = el("span", { class: "muted" });
    const status = el("span", { class: "status-word", id: "player-status" });
    const toggle = el("button", { type: "button", class: "quiet", id: "play", text: "\u25b6 Play", onclick: () => flip() });
    const back = el("button", { type: "button", class: "quiet", "aria-label": "One frame back", text: "\u2190", onclick: () => step(-1) });
    const ahead = el("button", { type: "button", class: "quiet", "aria-label": "One frame ahead", text: "\u2192", onclick: () => step(1) });
    const slider = el("input", { type: "range", id: "seek", min: 0, step: 1, value: 0, "aria-label": "Frame", oninput: () => go(Number(slider.value)) });
    const shows = el("input", { type: "checkbox", id: "show-labels", onchange: () => paint() });
    shows.checked = true;
    const by = el("select", { id: "colour-by", onchange: () => paint() }, el("option", { value: "trust", text: "trust" }), el("option", { value: "track", text: "track" }));
    const tools = labels ? el("span", { class: "tools" }, shows, el("label", { for: "show-labels", text: "Labels" }), el("label", { for: "colour-by", text: "coloured by" }), by,
      el("i", { class: "trust-scale", role: "img", "aria-label": "Red below a trust of " + labels.limit + ", then from amber over green to blue at 1", title: "trust: red below " + labels.limit + ", blue at 1" })) : null;
    const keys = el("p", { class: "note", id: "player-keys", text: "Space plays and pauses, \u2190 \u2192 go frame by frame, with Shift from pick to pick, Enter pins, X leaves out. Paused, you see the exact frame." });
    const node = el("figure", { class: "frame main player" }, stage,
      el("div", { class: "controls" }, toggle, back, ahead, slider, tools),
      el("figcaption", {}, caption, " ", facts, " ", status), keys);

    let item = null;
    let frame = -1;
    let image = null;
    let isPlaying = false;
    let isMedia = false;
    let why = "";
    let offset = 0;
    let ticket = 0;
    let ready = Promise.resolve();

    const size = () => {
      const { width, height } = item.video;
      const shape = width > 0 && height > 0 ? height / width : 9 / 16;
      const w = Math.max(120, Math.min(stage.clientWidth || 640, 560 / shape));
      return [Math.round(w), Math.round(w * shape)];
    };
    const best = () => {
      const wanted = Math.min(item.video.width || 1920, size()[0] * Math.min(window.devicePixelRatio || 1, 2));
      return WIDTHS.find((width) => width >= wanted) || 1920;
    };

    function pens() {
      const [w, h] = size();
      for (const canvas of [picture, overlay]) {
        canvas.style.width = w + "px";
        canvas.style.height = h + "px";
      }
      return [w, h];
    }

    function paint() {
      if (item === null) return;
      const [w, h] = pens();
      const pen = context(picture, w, h);
      if (image !== null) {
        pen.imageSmoothingQuality = "high";
        pen.drawImage(image, 0, 0, w, h);
      }
      paintLabels(w, h);
    }

    function paintLabels(w, h) {
      const pen = context(overlay, w, h);
      if (!labels || !shows.checked || frame < 0) return;
      const mine = frame;
      const { place } = item.video;
      if (labels.at(place, frame) === null) {
        labels.need(place, frame).then(() => mine === frame && item && item.video.place === place && (paintLabels(...size()), write()));
        return;
      }
      labels.paint(pen, place, frame, w, h, by.value);
    }

    function write() {
      const { video: known } = item;
      caption.textContent = frame < 0 ? "no frame" : "frame " + count(frame);
      const about = frame < 0 ? [] : [time(known.time[frame], 3), item.pins.has(frame) ? "pinned" : item.leftOut.has(frame) ? "left out" : item.chosen.has(frame) ? "selected" : "dropped", labels ? labels.describe(known.place, frame) : ""];
      facts.textContent = visible(about.filter(Boolean).join(" \u00b7 "));
      slider.value = String(Math.max(0, frame));
      slider.setAttribute("aria-valuetext", "frame " + frame);
      toggle.textContent = isPlaying ? "\u275a\u275a Pause" : "\u25b6 Play";
      toggle.setAttribute("aria-pressed", isPlaying ? "true" : "false");
    }

    const tell = (text) => (status.textContent = visible(text));

    /* Show the exact frame; the newest wish wins. */
    function exact(wanted) {
      const mine = ++ticket;
      frame = wanted;
      write();
      paintLabels(...pens());
      if (frame < 0) return Promise.resolve();
      tell("loading");
      picture.setAttribute("aria-label", "frame " + frame + " of " + item.video.video_id);
      return evfrApi.frame(item.video.place, frame, best()).then((found) => {
        if (mine !== ticket) return;
        image = found;
        paint();
        tell("exact frame");
        // Steps are quick where the next frames are there already.
        for (const next of [frame + 1, frame - 1]) if (next >= 0 && next < item.video.n_frames) evfrApi.frame(item.video.place, next, best(), () => mine === ticket).catch(() => null);
      }, (error) => {
        if (mine !== ticket) return;
        image = null;
        paint();
        tell("this frame cannot be shown");
        fail(error.message);
      });
    }

    function tick(now) {
      frame = now;
      state.playing = now;
      write();
      on.tick(now);
    }

    /* The picture that the video holds now and its time, taken together: what is drawn may be later than the callback. */
    function held(mediaTime) {
      if (typeof VideoFrame !== "function") return { source: video, at: mediaTime, close: () => null };
      const source = new VideoFrame(video);
      return { source, at: source.timestamp / 1e6, close: () => source.close() };
    }

    /* A frame of the playing video is on the screen: find which it is by its time, and draw it with its labels. */
    function shown(_, data) {
      if (!isPlaying || !isMedia) return;
      const { source, at, close } = held(data.mediaTime);
      const now = evfrCharts.nearestFrame(item.video.time, at + offset);
      const [w, h] = pens();
      context(picture, w, h).drawImage(source, 0, 0, w, h);
      close();
      tick(now);
      paintLabels(w, h);
      video.requestVideoFrameCallback(shown);
    }

    async function playFrames() {
      const mine = ++ticket;
      const { time: times, n_frames: n, place } = item.video;
      let at = frame >= n - 1 ? 0 : frame;
      let began = performance.now() - 1000 * (times[at] - times[0]);
      while (isPlaying && mine === ticket && at < n) {
        for (let next = at + 1; next <= Math.min(n - 1, at + AHEAD); next++) evfrApi.frame(place, next, best(), () => mine === ticket).catch(() => null);
        try {
          image = await evfrApi.frame(place, at, best());
        } catch (error) {
          fail(error.message);
          break;
        }
        if (!isPlaying || mine !== ticket) return;
        tick(at);
        paint();
        at++;
        if (at >= n) break;
        const wait = began + 1000 * (times[at] - times[0]) - performance.now();
        if (wait < 0) began -= wait; // frames come slower than they were filmed: none is skipped
        await new Promise((done) => setTimeout(done, Math.max(0, Math.min(wait, 2000))));
      }
      if (isPlaying && mine === ticket) pause();
    }

    function play() {
      if (item === null || item.video.n_frames === 0 || isPlaying) return;
      isPlaying = true;
      write();
      if (!isMedia) {
        tell(why ? "exact frames: " + why : "exact frames");
        playFrames();
        return;
      }
      tell("playing");
      const mine = ++ticket;
      const late = new Promise((done) => setTimeout(() => done("the browser shows nothing of this file"), PATIENCE_MS));
      Promise.race([ready, late]).then((reason) => {
        if (!isPlaying || mine !== ticket) return;
        if (reason === undefined) start();
        else unplayable(reason);
      });
    }

    /* Go on with exact frames where the browser fails. */
    function unplayable(reason) {
      isMedia = false;
      why = reason;
      if (!isPlaying) return;
      tell("exact frames: " + why);
      playFrames();
    }

    /* Play from the frame shown: half a frame further, so that rounding cannot land on the one before. */
    function start() {
      const { time: times, n_frames: n } = item.video;
      const from = frame < 0 || frame >= n - 1 ? 0 : frame;
      const half = from < n - 1 ? (times[from + 1] - times[from]) / 2 : 0;
      video.currentTime = Math.max(0, times[from] - offset + half);
      video.requestVideoFrameCallback(shown);
      video.play().catch((error) => {
        if (error.name === "AbortError") return;
        pause();
        tell("the browser does not play this video: " + error.message);
      });
    }

    function pause() {
      if (!isPlaying) return;
      isPlaying = false;
      state.playing = -1;
      video.pause();
      on.tick(-1);
      state.show(item.video.place, frame);
    }

    const flip = () => (isPlaying ? pause() : play());
    video.addEventListener("ended", pause);
    video.addEventListener("error", () => {
      if (item === null || !video.getAttribute("src")) return;
      if (isMedia) unplayable("the browser cannot play this file");
    });

    function go(wanted) {
      if (item === null || item.video.n_frames === 0) return;
      const to = Math.min(item.video.n_frames - 1, Math.max(0, wanted));
      if (isPlaying) {
        isPlaying = false;
        state.playing = -1;
        video.pause();
        on.tick(-1);
      }
      state.show(item.video.place, to);
    }

    const step = (by_) => go(frame + by_);

    function jump(direction) {
      const picks = Array.from(item.picks);
      const found = direction > 0 ? picks.find((pick) => pick > frame) : picks.reverse().find((pick) => pick < frame);
      if (found !== undefined) go(found);
    }

    function open() {
      isPlaying = false;
      state.playing = -1;
      video.removeAttribute("src");
      video.load();
      item = state.videos[state.place];
      image = null;
      isMedia = false;
      why = "";
      slider.max = String(Math.max(0, item.video.n_frames - 1));
      const { place, path, codec } = item.video;
      offset = item.video.n_frames ? item.video.time[0] : 0;
      if (item.video.n_frames === 0) return;
      if (!PLAYS.test(path) || !CODECS.test(codec)) {
        why = "browsers do not play " + (codec || "this format");
      } else {
        isMedia = true;
        // The first picture that the browser shows is frame 0, whatever time it gives it: containers start where they like.
        ready = new Promise((done) => video.requestVideoFrameCallback((_, data) => {
          if (item && item.video.place === place) offset = item.video.time[0] - data.mediaTime;
          done();
        }));
        video.src = "/api/media/" + place;
      }
      exact(state.frame);
    }

    stage.addEventListener("click", () => {
      stage.focus();
      flip();
    });
    const keyed = (event) => {
      if (item === null || event.ctrlKey || event.metaKey || event.altKey) return;
      const moves = {
        " ": flip,
        ArrowLeft: () => (event.shiftKey ? jump(-1) : step(-1)),
        ArrowRight: () => (event.shiftKey ? jump(1) : step(1)),
        Home: () => go(0), End: () => go(item.video.n_frames - 1),
        Enter: () => say(state.togglePin()), x: () => say(state.toggleLeftOut()), X: () => say(state.toggleLeftOut()),
      };
      if (!moves[event.key]) return;
      event.preventDefault();
      moves[event.key]();
    };
    stage.addEventListener("keydown", keyed);
    document.addEventListener("keydown", (event) => {
      if (event.target === document.body && [" ", "ArrowLeft", "ArrowRight"].includes(event.key)) keyed(event);
    });
    state.listen((what) => {
      if (what === "video") open();
      else if (what === "frame" && item) exact(state.frame);
      else if (what === "picks" && item) write();
      else if (what === "scheme") paint();
    });
    let width = 0;
    new ResizeObserver(() => {
      if (stage.clientWidth === width) return;
      width = stage.clientWidth;
      paint();
    }).observe(stage);
    return { node, play, pause, frame: () => frame, isPlaying: () => isPlaying, isMedia: () => isMedia };
  }

  return { panel };
})();

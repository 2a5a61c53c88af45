/* The embedding map: every measured frame as a point in two dimensions, picks and the current frame marked. */
const evfrViewMap = (() => {
  "use strict";

  const { el, replace, visible, count, number, percent, context, colour } = evfrDom;
  const HEIGHT = 380;
  const EDGE = 14;
  const REACH = 14;
  const NEAR = 8;

  /* Rows of place, frame, x and y, from numbers or from packed ones. */
  function rows(points) {
    if (Array.isArray(points)) return points;
    const flat = evfrData.unpack(points);
    return Array.from({ length: flat.length / 4 }, (_, i) => Array.from(flat.subarray(4 * i, 4 * i + 4)));
  }

  function panel(state, fail) {
    const canvas = el("canvas", { class: "map", id: "map", role: "img", "aria-label": "Embedding map; the list beside it holds the same by keyboard" });
    const note = el("p", { class: "note", text: "Loading the map\u2026" });
    const near = el("ol", { class: "near", "aria-label": "Nearest on the map" });
    const title = el("h3", { text: "Nearest on the map" });
    const key = (kind, text) => el("span", { class: "key" }, el("i", { class: "sign sign-" + kind }), text);
    const node = el("section", { class: "detail", "aria-labelledby": "map-title" },
      el("div", { class: "detail-head" }, el("h2", { id: "map-title", text: "Embedding map" }),
        el("div", { class: "legend" }, key("pick", "selected"), key("here", "this video"), key("rest", "other videos"), key("ring", "shown frame"))),
      note, el("div", { class: "map-row" }, canvas, el("div", {}, title, near)));
    let points = [];
    let bounds = [0, 1, 0, 1];
    let spots = [];

    const isPick = (place, frame) => {
      const item = state.videos[place];
      if (item) return item.chosen.has(frame);
      const picks = state.picksOf(place);
      return picks !== null && picks.includes(frame);
    };

    function paint() {
      const width = canvas.clientWidth || 600;
      const pen = context(canvas, width, HEIGHT);
      const [left, right, low, high] = bounds;
      const x = (value) => EDGE + ((width - 2 * EDGE) * (value - left)) / (right - left);
      const y = (value) => HEIGHT - EDGE - ((HEIGHT - 2 * EDGE) * (value - low)) / (high - low);
      spots = points.map((point) => [x(point[2]), y(point[3])]);
      const dots = (wanted, ink, alpha, r) => {
        pen.globalAlpha = alpha;
        pen.fillStyle = ink;
        pen.beginPath();
        points.forEach((point, i) => {
          if (!wanted(point)) return;
          pen.moveTo(spots[i][0] + r, spots[i][1]);
          pen.arc(spots[i][0], spots[i][1], r, 0, 2 * Math.PI);
        });
        pen.fill();
        pen.globalAlpha = 1;
      };
      dots(([place, frame]) => place !== state.place && !isPick(place, frame), colour("muted"), 0.3, 2);
      dots(([place, frame]) => place === state.place && !isPick(place, frame), colour("curve-1"), 0.6, 2.6);
      dots(([place, frame]) => isPick(place, frame), colour("card"), 1, 5);
      dots(([place, frame]) => isPick(place, frame), colour("pick"), 1, 3.8);
      const here = current();
      if (here < 0) return;
      pen.strokeStyle = colour("ink");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(spots[here][0], spots[here][1], 8, 0, 2 * Math.PI);
      pen.stroke();
    }

    /* The point of the shown frame, or of the frame nearest to it in the same video. */
    function current() {
      let best = -1;
      points.forEach((point, i) => {
        if (point[0] !== state.place) return;
        if (best < 0 || Math.abs(point[1] - state.frame) < Math.abs(points[best][1] - state.frame)) best = i;
      });
      return best;
    }

    function list() {
      const here = current();
      title.hidden = here < 0;
      if (here < 0) return replace(near);
      const [, , x, y] = points[here];
      const away = points.map((point, i) => [Math.hypot(point[2] - x, point[3] - y), i]).filter(([, i]) => i !== here).sort((a, b) => a[0] - b[0]).slice(0, NEAR);
      replace(near, ...away.map(([distance, i]) => {
        const [place, frame] = points[i];
        const item = state.videos[place];
        const name = place === state.place ? "" : item ? item.video.video_id + " " : "video " + (place + 1) + " ";
        return el("li", {}, el("button", { type: "button", class: "row-name", text: name + "frame " + count(frame), onclick: () => state.show(place, frame) }),
          el("span", { class: "muted", text: " " + number(distance, 3) + (isPick(place, frame) ? " \u00b7 selected" : "") }));
      }));
    }

    function under(event) {
      const box = canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let best = -1;
      let gap = REACH;
      spots.forEach(([a, b], i) => {
        const distance = Math.hypot(a - x, b - y) - (isPick(points[i][0], points[i][1]) ? 3 : 0);
        if (distance < gap) {
          gap = distance;
          best = i;
        }
      });
      return best;
    }

    canvas.addEventListener("click", (event) => {
      const found = under(event);
      if (found >= 0) state.show(points[found][0], points[found][1]);
    });
    canvas.addEventListener("mousemove", (event) => {
      const found = under(event);
      canvas.style.cursor = found >= 0 ? "pointer" : "";
      canvas.title = found >= 0 ? "frame " + points[found][1] : "";
    });

    async function load() {
      try {
        const answer = await evfrApi.get("/api/map?limit=5000");
        points = rows(answer.points);
        const span = (i) => {
          const values = points.map((point) => point[i]);
          const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
          return high > low ? [low, high] : [low - 1, low + 1];
        };
        bounds = points.length ? [...span(2), ...span(3)] : bounds;
        const [a, b] = answer.explained || [];
        note.textContent = visible(count(points.length) + " frames by their two main directions (" + String(answer.method).toUpperCase() + (Number.isFinite(a) ? ", " + percent(a + b, 1) + " of the spread" : "") + "). Click a point to go there.");
      } catch (error) {
        note.textContent = visible(error.message);
        note.classList.add("warn");
        fail(error.message);
        return;
      }
      paint();
      list();
    }

    state.listen((what) => {
      if (!points.length || !["video", "frame", "picks", "scheme"].includes(what)) return;
      paint();
      list();
    });
    new ResizeObserver(() => points.length && paint()).observe(canvas);
    load();
    return { node, points: () => points, spots: () => spots };
  }

  return { panel };
})();

/* Draw objects over a picture: outlines, a colour for each track, the warning's red where trust is low. */
const evfrOutline = (() => {
  "use strict";

  const { colour } = evfrDom;
  const DARK = "rgba(10, 12, 16, .75)";
  const LOW = "#ff3030";
  const GOLDEN = 0.618033988749895;

  /* The colour that the program itself gives a track in pictures; a test holds the two equal. */
  function trackColour(number) {
    const hue = 0.13 + 0.8 * ((0.32 + number * GOLDEN) % 1);
    const [saturation, value] = [number % 2 === 0 ? 0.67 : 0.56, 0.98];
    const place = Math.floor(hue * 6);
    const part = hue * 6 - place;
    const down = value * (1 - saturation);
    const fall = value * (1 - saturation * part);
    const rise = value * (1 - saturation * (1 - part));
    const parts = [[value, rise, down], [fall, value, down], [down, value, rise], [down, fall, value], [rise, down, value], [value, down, fall]][place % 6];
    return "rgb(" + parts.map((share) => Math.round(255 * share)).join(", ") + ")";
  }

  function path(pen, polygons, scale) {
    pen.beginPath();
    for (const points of polygons) {
      for (let i = 0; i < points.length; i += 2) {
        const at = [points[i] * scale[0], points[i + 1] * scale[1]];
        if (i) pen.lineTo(at[0], at[1]);
        else pen.moveTo(at[0], at[1]);
      }
      pen.closePath();
    }
  }

  /* One object: what people drew is an outline alone, what was carried is filled, what is doubted is dashed red. */
  function draw(pen, polygons, scale, look, weight) {
    path(pen, polygons, scale);
    pen.lineJoin = "round";
    if (!look.isHuman) {
      pen.globalAlpha = 0.34;
      pen.fillStyle = look.colour;
      pen.fill("evenodd");
    }
    pen.globalAlpha = 1;
    const line = (look.isHuman || look.isLow ? 2 : 1.2) * weight;
    pen.setLineDash(look.isLow ? [5, 4] : []);
    pen.lineWidth = line + 2;
    pen.strokeStyle = DARK;
    pen.stroke();
    pen.lineWidth = line;
    pen.strokeStyle = look.isLow ? LOW : look.colour;
    pen.stroke();
    pen.setLineDash([]);
  }

  /* The object's number, above its topmost corner. */
  function tag(pen, polygons, scale, text, ink, width, height) {
    const longest = polygons.reduce((best, points) => (points.length > best.length ? points : best));
    let top = 0;
    for (let i = 2; i < longest.length; i += 2) if (longest[i + 1] < longest[top + 1]) top = i;
    pen.font = "600 12px " + colour("font");
    pen.textBaseline = "middle";
    const w = pen.measureText(text).width + 12;
    const x = Math.min(Math.max(0, longest[top] * scale[0] - w / 2), width - w);
    const y = Math.min(Math.max(0, longest[top + 1] * scale[1] - 22), height - 18);
    pen.fillStyle = "rgba(10, 12, 16, .85)";
    pen.fillRect(x, y, w, 18);
    pen.fillStyle = ink;
    pen.fillRect(x, y, 3, 18);
    pen.fillStyle = "#ffffff";
    pen.fillText(text, x + 7, y + 9.5);
  }

  return { draw, tag, trackColour, LOW };
})();

/* Build nodes, and write numbers and times for people. Text enters the page only as text. */
const evfrDom = (() => {
  "use strict";

  // Control and direction characters would hide or turn text: they are shown as code points.
  const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]|[\ud800-\udfff](?![\udc00-\udfff])/gu;

  const visible = (text) =>
    String(text).replace(HIDDEN, (sign) => "\\u" + sign.codePointAt(0).toString(16).padStart(4, "0"));

  function el(tag, options, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(options || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "class") node.className = value;
      else if (key === "text") node.textContent = visible(value);
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : visible(value));
    }
    for (const child of children.flat()) {
      if (child === null || child === undefined) continue;
      node.append(typeof child === "object" ? child : document.createTextNode(visible(child)));
    }
    return node;
  }

  const replace = (node, ...children) => node.replaceChildren(...children.flat().filter((child) => child !== null));

  const count = (value) => (Number.isFinite(value) ? Math.round(value).toLocaleString("en-US") : "\u2013");
  const number = (value, digits = 2) =>
    value === null || !Number.isFinite(value) ? "\u2013" : value.toFixed(digits).replace("-", "\u2212");
  const percent = (part, whole) => (whole > 0 ? ((100 * part) / whole).toFixed(1) + " %" : "\u2013");
  const plural = (value, noun) => count(value) + " " + noun + (value === 1 ? "" : "s");

  function time(seconds, digits = 2) {
    if (!Number.isFinite(seconds)) return "\u2013";
    const sign = seconds < 0 ? "\u2212" : "";
    const whole = Math.abs(seconds);
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60;
    const rest = Math.floor((whole % 60) * 10 ** digits) / 10 ** digits;
    const tail = rest.toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    return sign + (hours ? hours + ":" + String(minutes).padStart(2, "0") : minutes) + ":" + tail;
  }

  /* A canvas in device pixels: returns its context scaled to CSS pixels. */
  function context(canvas, width, height) {
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    return pen;
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  function copy(text, button) {
    const done = (word) => {
      const before = button.textContent;
      button.textContent = word;
      setTimeout(() => (button.textContent = before), 1500);
    };
    const byHand = () => {
      const area = el("textarea", { class: "off", "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      const worked = document.execCommand("copy");
      area.remove();
      done(worked ? "Copied" : "Select and copy");
    };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => done("Copied"), byHand);
    else byHand();
  }

  return { el, replace, visible, count, number, percent, plural, time, context, colour, copy };
})();

/* Ask the viewer's own server: every answer is JSON or a picture, every failure one sentence. */
const evfrApi = (() => {
  "use strict";

  const { token } = evfrData.block("viewer");
  const LIMIT_MS = 60000;
  const AT_ONCE = 3;
  const KEPT_PIXELS = 4e7;

  let pending = 0;

  /* The server's own sentence where it sent one. */
  async function sentence(response) {
    try {
      const { error } = await response.json();
      if (typeof error === "string" && error) return error;
    } catch {
      // not JSON: said below
    }
    return "The server answered " + response.status + " to " + new URL(response.url).pathname + ".";
  }

  async function ask(path, options, read) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), LIMIT_MS);
    pending++;
    try {
      const response = await fetch(path, Object.assign({ signal: stop.signal, credentials: "same-origin", cache: "default", redirect: "error" }, options));
      if (!response.ok) throw Object.assign(new Error(await sentence(response)), { status: response.status });
      return await read(response);
    } catch (error) {
      if (error.status) throw error;
      if (stop.signal.aborted) throw Object.assign(new Error("The server gave no answer within " + LIMIT_MS / 1000 + " s to " + path + "."), { status: 0 });
      throw Object.assign(new Error(error instanceof SyntaxError ? "The server's answer to " + path + " cannot be read." : "The server does not answer: is evfr view still running?"), { status: 0 });
    } finally {
      clearTimeout(timer);
      pending--;
    }
  }

  const headers = { "X-Evfr-Token": token };
  const get = (path) => ask(path, { headers }, (response) => response.json());
  const post = (path, body) =>
    ask(path, { method: "POST", headers: Object.assign({ "Content-Type": "application/json" }, headers), body: JSON.stringify(body) }, (response) => response.json());

  /* Exact frames, kept while they are new; small ones wait in a line, the one that is looked at does not. */
  const pictures = new Map();
  const sizes = new Map();
  const line = [];
  let running = 0;

  function advance() {
    while (running < AT_ONCE && line.length) {
      const { start, isWanted, give } = line.shift();
      if (!isWanted()) {
        give(null);
        continue;
      }
      running++;
      start().finally(() => {
        running--;
        advance();
      });
    }
  }

  function fetchFrame(place, frame, width) {
    return ask("/api/frame/" + place + "/" + frame + ".jpg?width=" + width, { headers }, async (response) => createImageBitmap(await response.blob()));
  }

  function frame(place, index, width, isWanted) {
    const key = place + "/" + index + "/" + width;
    const known = pictures.get(key);
    pictures.delete(key);
    if (known) {
      pictures.set(key, known);
      return known;
    }
    const found = isWanted ? waiting(place, index, width, isWanted) : fetchFrame(place, index, width);
    pictures.set(key, found);
    found.then((image) => (image === null ? pictures.delete(key) : keep(key, image.width * image.height)), () => pictures.delete(key));
    return found;
  }

  /* Forget the pictures that were not asked for the longest, once they fill the memory meant for them. */
  function keep(key, pixels) {
    sizes.set(key, pixels);
    let sum = 0;
    for (const size of sizes.values()) sum += size;
    for (const old of pictures.keys()) {
      if (sum <= KEPT_PIXELS || old === key) break;
      sum -= sizes.get(old) || 0;
      sizes.delete(old);
      pictures.delete(old);
    }
  }

  function waiting(place, index, width, isWanted) {
    return new Promise((give, refuse) => {
      line.push({ isWanted, give, start: () => fetchFrame(place, index, width).then(give, refuse) });
      advance();
    });
  }

  return { get, post, frame, isIdle: () => pending === 0 && line.length === 0 };
})();

/* The bar above the videos: budget and method with its own options, recompute, undo, save; and what changed. */
const evfrViewForm = (() => {
  "use strict";

  const { el, replace, visible, count, plural, time } = evfrDom;
  const SHOWN = 40;
  const FEW = 24;
  const VIDEOS_MOST = 2000;
  const PAUSE_MS = 450;

  const SAYS = ["Recompute before you save.", "There is nothing new to save."];

  const pair = (id, text, ...inputs) => el("span", { class: "pair" }, el("label", { for: id, text }), inputs);

  /* How an option is asked for, by the words that the server describes it with. */
  function field(option, current) {
    const id = "option-" + option.option;
    const value = current === undefined ? option.default : current;
    const words = String(option.type).split("|").map((word) => word.trim());
    const choices = Array.isArray(option.choices) && option.choices.length ? option.choices : words.every((word) => /^["'].*["']$/.test(word)) ? words.map((word) => word.slice(1, -1)) : null;
    const help = el("span", { class: "note", id: id + "-help", text: option.help });
    let input;
    let read;
    if (choices) {
      input = el("select", { id, "aria-describedby": id + "-help" }, choices.map((choice) => el("option", { value: choice, text: choice })));
      input.value = String(value);
      read = () => input.value;
    } else if (words.includes("bool")) {
      input = el("input", { type: "checkbox", id, "aria-describedby": id + "-help" });
      input.checked = Boolean(value);
      read = () => input.checked;
    } else {
      const isNumber = words.includes("int") || words.includes("float");
      input = el("input", { type: isNumber ? "number" : "text", id, step: words.includes("float") ? "any" : 1, "aria-describedby": id + "-help", autocomplete: "off" });
      input.value = value === null || value === undefined ? "" : String(value);
      read = () => {
        if (input.value.trim() === "") return undefined;
        return isNumber ? Number(input.value) : input.value;
      };
    }
    const first = JSON.stringify(read());
    const plain = JSON.stringify(option.default === null ? undefined : option.default);
    return {
      node: el("div", { class: "option" }, el("label", { for: id, text: option.option.replace(/_/g, " ") }), input, help),
      input,
      name: option.option,
      isChanged: () => JSON.stringify(read()) !== first,
      // A value that is the method's own default is not sent: the server then says the same as the command.
      read: () => (JSON.stringify(read()) === plain ? undefined : read()),
    };
  }

  function panel(state, say) {
    const { head, report } = state;
    const methods = Object.keys(head.methods);
    const method = el("select", { id: "method" }, methods.map((name) => el("option", { value: name, text: name })));
    const unit = el("select", { id: "unit", "aria-label": "What the budget counts" },
      el("option", { value: "n", text: "frames" }), el("option", { value: "ratio", text: "share" }), el("option", { value: "stride", text: "every k-th frame" }));
    const budget = el("input", { type: "number", id: "budget-number", min: 0, step: "any", inputmode: "decimal", required: true });
    const scope = el("select", { id: "scope" }, el("option", { value: "all", text: "all videos" }), el("option", { value: "here", text: "this video" }));
    if (report.n_videos > VIDEOS_MOST) scope.value = "here";
    const seed = el("input", { type: "number", id: "seed", step: 1, min: 0 });
    const gap = el("input", { type: "number", id: "min-gap", step: 1, min: 1, placeholder: "none" });
    const atOnce = el("input", { type: "checkbox", id: "at-once", title: "Compute as soon as something is changed" });
    atOnce.checked = report.n_videos <= FEW;
    const options = el("div", { class: "options" });
    const edits = el("span", { class: "edits" });
    const note = el("p", { class: "note", id: "form-note", role: "status" });
    const undo = el("button", { class: "quiet", type: "button", id: "undo", text: "Undo to saved", onclick: () => {
      state.reset();
      fill();
      say("Back to the saved selection.");
    } });
    const compute = el("button", { class: "main", type: "submit", id: "recompute", text: "Recompute" });
    const name = el("input", { type: "text", id: "save-name", maxlength: 64, pattern: "[A-Za-z0-9_\\-][A-Za-z0-9._\\-]*", placeholder: "name of a folder", autocomplete: "off", spellcheck: "false", "aria-describedby": "save-note" });
    const save = el("button", { class: "quiet", type: "submit", id: "save", text: "Save as" });
    const saveNote = el("span", { class: "note", id: "save-note", role: "status" });
    const savedList = el("span", { class: "muted", id: "saved-list" });
    const drawSaved = () => (savedList.textContent = head.saved.length ? visible("Saved here: " + head.saved.slice(-6).join(", ")) : "");
    drawSaved();
    const saving = el("form", { class: "budget-row", id: "save-form", novalidate: true, hidden: !head.can_edit }, pair("save-name", "Name", name), save, saveNote, el("span", { class: "grow" }), savedList);
    const changes = el("div", { class: "changes", id: "changes", hidden: true, role: "group", "aria-label": "What changed" });
    let fields = [];

    function ownOptions(given = {}) {
      fields = (head.methods[method.value] || []).map((option) => field(option, given[option.option]));
      replace(options, ...fields.map((entry) => entry.node));
      options.hidden = fields.length === 0;
    }

    /* Put in the words of the saved selection. */
    function fill() {
      const { parameters } = state.saved;
      method.value = methods.includes(state.saved.method) ? state.saved.method : methods[0];
      unit.value = ["n", "ratio", "stride"].find((word) => Number.isFinite(parameters[word])) || "ratio";
      budget.value = String(Number.isFinite(parameters[unit.value]) ? parameters[unit.value] : 0.1);
      seed.value = String(parameters.seed || 0);
      gap.value = parameters.min_gap ? String(parameters.min_gap) : "";
      ownOptions(parameters.method_options || parameters.options || {});
    }

    function words() {
      const chosen = {};
      for (const entry of fields) if (entry.read() !== undefined) chosen[entry.name] = entry.read();
      const body = { [unit.value]: Number(budget.value), method: method.value, options: chosen, include: state.pins(), exclude: state.leftOut(), seed: Number(seed.value) || 0 };
      body.min_gap = gap.value ? Number(gap.value) : null;
      if (scope.value === "here") body.places = [state.place];
      return body;
    }

    const touch = () => {
      state.isStale = true;
      state.edition++;
      update();
    };

    /* Compute a moment after the last change; one that comes while the server computes waits for its turn. */
    let timer = 0;
    function soon() {
      clearTimeout(timer);
      if (!atOnce.checked || !state.isStale) return;
      timer = setTimeout(() => (state.isBusy ? soon() : run()), PAUSE_MS);
    }

    function update() {
      const pins = state.pins().length;
      const out = state.leftOut().length;
      const list = [];
      if (pins) list.push(count(pins) + " pinned");
      if (out) list.push(count(out) + " left out");
      if (state.isStale) list.push("not computed yet");
      edits.textContent = list.join(" \u00b7 ");
      edits.hidden = list.length === 0;
      undo.hidden = !state.isEdited();
      compute.disabled = state.isBusy;
      compute.textContent = state.isBusy ? "Computing\u2026" : "Recompute";
      form.setAttribute("aria-busy", state.isBusy ? "true" : "false");
      save.disabled = state.isBusy || state.isStale || state.computed === null || !head.can_edit;
      const why = state.isStale ? "Recompute before you save." : state.computed === null ? "There is nothing new to save." : "";
      if (why || SAYS.includes(saveNote.textContent)) saveNote.textContent = why;
    }

    function fail(text) {
      note.textContent = visible(text);
      note.classList.add("warn");
      say(text);
    }

    async function run() {
      if (state.isBusy) return;
      clearTimeout(timer);
      note.classList.remove("warn");
      if (budget.value === "" || !(Number(budget.value) >= 0)) {
        fail("The budget must be a number: of frames, a share of them from 0 to 1, or the k of every k-th frame.");
        budget.focus();
        return;
      }
      note.textContent = "Computing\u2026";
      try {
        const answer = await state.select(words());
        const { added, dropped } = state.changes();
        note.textContent = plural(state.total(), "frame") + " by " + answer.report.method + (Number.isFinite(answer.seconds) ? " in " + answer.seconds.toFixed(2) + " s" : "") + ": " + count(added) + " came, " + count(dropped) + " went.";
        say(note.textContent);
      } catch (error) {
        fail(error.message);
      }
      update();
      if (state.isStale && note.classList.contains("warn") === false) soon();
    }

    /* Frames that came and went in the video that is looked at; of the others, how many. */
    function drawChanges() {
      const { rows, added, dropped } = state.changes();
      changes.hidden = state.computed === null;
      if (changes.hidden) return;
      const chips = (frames, sign, word) => frames.length === 0 ? null : el("div", { class: "chips" }, el("b", { class: "change " + word, text: sign + " " + count(frames.length) }),
        frames.slice(0, SHOWN).map((frame) => el("button", { type: "button", class: "chip", text: count(frame), "aria-label": "frame " + frame + " " + word, onclick: () => state.show(state.place, frame) })),
        frames.length > SHOWN ? el("span", { class: "muted", text: "and " + count(frames.length - SHOWN) + " more" }) : null);
      const here = rows.find((row) => row.place === state.place) || { added: [], dropped: [] };
      const others = rows.filter((row) => row.place !== state.place);
      replace(changes,
        el("p", {}, el("b", { text: "Changed since the saved selection: " }), el("span", { class: "change came", text: "+ " + count(added) }), " ", el("span", { class: "change went", text: "\u2212 " + count(dropped) }),
          el("span", { class: "muted", text: added + dropped === 0 ? " \u00b7 the same frames" : "" })),
        chips(here.added, "+", "came"), chips(here.dropped, "\u2212", "went"),
        others.length ? el("p", { class: "muted" }, "Elsewhere: ", others.slice(0, SHOWN).flatMap((row) => [
          el("button", { type: "button", class: "chip", text: state.videos[row.place].video.video_id + " +" + row.added.length + " \u2212" + row.dropped.length, onclick: () => state.show(row.place) }), " "])) : null);
    }

    async function store() {
      saveNote.classList.remove("warn");
      if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(name.value)) {
        saveNote.classList.add("warn");
        saveNote.textContent = "A name has 1 to 64 of A-Z a-z 0-9 . _ - and does not start with a dot.";
        name.focus();
        return;
      }
      save.disabled = true;
      saveNote.textContent = "Saving\u2026";
      try {
        const { folder } = await evfrApi.post("/api/save", { name: name.value });
        saveNote.textContent = visible("Saved. To use it: evfr select --from " + folder + "/selection.json");
        say(saveNote.textContent);
        head.saved.push(name.value);
        drawSaved();
      } catch (error) {
        saveNote.classList.add("warn");
        saveNote.textContent = visible(error.message);
        say(error.message);
      }
      update();
    }

    const form = el("form", { id: "select-form", novalidate: true },
      el("div", { class: "budget-row" },
        pair("budget-number", "Budget", budget, unit), report.n_videos > 1 ? pair("scope", "of", scope) : null, pair("method", "Method", method), pair("seed", "Seed", seed), pair("min-gap", "Least gap", gap),
        el("span", { class: "grow" }), undo, el("span", { class: "pair" }, atOnce, el("label", { class: "plain", for: "at-once", text: "at once" })), compute),
      options,
      el("div", { class: "budget-row" }, edits, note));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    form.addEventListener("input", (event) => {
      if (event.target === atOnce) return soon();
      if (event.target === method) ownOptions();
      if (event.target === unit) budget.value = { ratio: "0.1", stride: "10", n: String(state.total() || 10) }[unit.value];
      touch();
      soon();
    });
    saving.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!save.disabled) store();
    });
    state.listen((what) => {
      if (["picks", "busy"].includes(what)) update();
      if (what === "edit") soon();
      if (["picks", "video"].includes(what)) drawChanges();
    });
    const node = el("section", { class: "budget viewer-form", "aria-label": "Budget and method" }, form, saving,
      head.can_edit ? null : el("p", { class: "note", id: "read-only", text: "Read-only: what is computed here is not saved. Start evfr view with --edit to save it." }), changes);
    return { node, fill: () => (fill(), update()), run };
  }

  return { panel };
})();

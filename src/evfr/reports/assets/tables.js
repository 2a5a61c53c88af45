/* Reduced datasets S1..S10, problems and parameters. */
const evfrTables = (() => {
  "use strict";

  const { el, count, number, percent } = evfrDom;
  const WARN = 0.05;

  function strides(report) {
    if (report.strides.length === 0) return null;
    const totals = report.strides.map((row) => row.n_frames.reduce((sum, n) => sum + n, 0));
    const names = Object.keys(report.strides[0].class_shares);
    const ranked = names.slice().sort((a, b) => report.strides[0].class_shares[b] - report.strides[0].class_shares[a]);
    const heads = names.length ? ["class shares", "change (TV)", "lost"] : [];
    const rows = report.strides.map((row, i) => {
      const bar = el("span", { class: "bar-fill plain" });
      bar.style.width = ((100 * totals[i]) / Math.max(1, totals[0])).toFixed(2) + "%";
      const shares = el("div", { class: "stack", role: "img", "aria-label": ranked.map((name) => name + " " + percent(row.class_shares[name] || 0, 1)).join(", ") });
      ranked.forEach((name, place) => {
        const part = el("span", { class: "part part-" + (place < 7 ? place : 7), title: name + " " + percent(row.class_shares[name] || 0, 1) });
        part.style.flexGrow = String(row.class_shares[name] || 0);
        shares.append(part);
      });
      const isBad = row.total_variation > WARN || row.lost.length > 0;
      return el("tr", {},
        el("th", { scope: "row", text: "S" + row.stride }),
        el("td", { class: "num", text: count(totals[i]) }),
        el("td", {}, el("span", { class: "bar" }, bar)),
        el("td", { class: "num", text: percent(totals[i], totals[0]) }),
        names.length ? [el("td", {}, shares),
          el("td", { class: "num" + (isBad ? " warn" : ""), text: number(row.total_variation, 3) + (isBad ? " !" : "") }),
          el("td", { class: isBad ? "warn" : "", text: row.lost.join(", ") || "none" })] : []);
    });
    const key = ranked.slice(0, 7).map((name, place) => el("span", { class: "key" }, el("i", { class: "swatch part-" + place }), name));
    if (ranked.length > 7) key.push(el("span", { class: "key" }, el("i", { class: "swatch part-7" }), ranked.length - 7 + " others"));
    return el("section", { class: "strides", "aria-label": "Reduced datasets" },
      el("h2", { text: "Reduced datasets" }),
      names.length ? el("div", { class: "legend" }, key) : null,
      el("div", { class: "scroll" }, el("table", {},
        el("thead", {}, el("tr", {}, ["stride", "frames", "", "kept", ...heads].map((text, i) => el("th", { scope: "col", class: i === 1 || i === 3 || i === 5 ? "num" : "", text })))),
        el("tbody", {}, rows))),
      names.length ? el("p", { class: "note", text: "TV is the total-variation distance of the class shares from S1; above 0.05, or with a class or clip lost, it is marked." }) : null);
  }

  /* `places` says which video a name is, as far as the page knows. */
  function problems(report, state, places) {
    if (report.allProblems.length === 0) return null;
    const rows = report.allProblems.map((problem) => {
      const place = places.get(problem.source);
      const open = () => {
        state.show(place, problem.frame_index === null ? undefined : problem.frame_index);
        document.getElementById("detail-title").scrollIntoView({ block: "start" });
      };
      return el("tr", {},
        el("td", {}, el("span", { class: "status " + (problem.code.startsWith("E_") ? "failed" : "partial"), text: problem.code })),
        el("td", {}, place === undefined ? problem.source : el("button", { type: "button", class: "row-name", text: problem.source, onclick: open })),
        el("td", { class: "num", "data-label": "first frame", text: problem.frame_index === null ? "\u2013" : count(problem.frame_index) }),
        el("td", { class: "num", "data-label": "count", text: count(problem.count) }),
        el("td", { text: problem.message }));
    });
    return el("section", { class: "problems", "aria-label": "Problems" },
      el("h2", { text: "Problems" }),
      el("div", { class: "scroll" }, el("table", {},
        el("thead", {}, el("tr", {}, ["code", "video", "first frame", "count", "what is wrong"].map((text, i) => el("th", { scope: "col", class: i === 2 || i === 3 ? "num" : "", text })))),
        el("tbody", {}, rows))));
  }

  function parameters(report) {
    const names = Object.entries(report.parameters).filter(([, value]) => value !== null);
    if (names.length === 0) return null;
    const text = (value) => (typeof value === "string" ? value : JSON.stringify(value));
    return el("details", { class: "parameters" },
      el("summary", { text: "Parameters" }),
      el("dl", {}, names.map(([name, value]) => [el("dt", { text: name }), el("dd", { text: text(value) })])));
  }

  return { strides, problems, parameters };
})();

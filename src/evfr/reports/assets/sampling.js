/* Repeat the Python samplers in double precision, step by step as their notes number the steps. */
const evfrSampling = (() => {
  "use strict";

  const GRID = 2 ** 24;

  const sumLeft = (values) => {
    let sum = 0;
    for (const value of values) sum += value;
    return sum;
  };

  /* floor((k N + p) / n) for k = 0..n-1. */
  function uniform(total, n, phase) {
    return Array.from({ length: n }, (_, k) => Math.floor((k * total + phase) / n));
  }

  function systematic(weights, n, mixing, power, point) {
    const total = weights.length;
    if (n === 0) return [];
    const values = Array.from(weights, (value) => (Number.isNaN(value) ? 0 : value));
    const largest = values.reduce((most, value) => (value > most ? value : most), 0);
    let spread;
    if (largest > 0 && mixing > 0) {
      const density = values.map((value) => {
        const relative = value / largest;
        if (power === 0.5) return Math.sqrt(relative);
        return power === 1 ? relative : relative ** power;
      });
      const sum = sumLeft(density);
      spread = density.map((value) => (1 - mixing) / total + (mixing * value) / sum);
    } else {
      spread = values.map(() => 1 / total);
    }
    const isCapped = new Uint8Array(total);
    const chance = new Float64Array(total).fill(1);
    let capped = 0;
    for (;;) {
      let rest = 0;
      for (let i = 0; i < total; i++) if (!isCapped[i]) rest += spread[i];
      if (rest <= 0) break;
      const scale = (n - capped) / rest;
      const before = capped;
      for (let i = 0; i < total; i++) {
        if (isCapped[i]) continue;
        chance[i] = scale * spread[i];
        if (chance[i] >= 1) {
          isCapped[i] = 1;
          chance[i] = 1;
          capped++;
        }
      }
      if (capped === before) break;
    }
    const picks = [];
    let sum = 0;
    let lag = 0;
    for (let i = 0; i < total && picks.length < n; i++) {
      sum += chance[i];
      const ramp = (i + 1) * GRID;
      lag = Math.min(lag, Math.floor(sum * GRID + 0.5) - ramp);
      const cumulative = Math.min(Math.max(lag, (n - total) * GRID) + ramp, n * GRID);
      while (picks.length < n && cumulative > point + picks.length * GRID) picks.push(i);
    }
    return picks;
  }

  /* Coefficient of variation of a shot's weights without its last. */
  function dynamicity(weights) {
    const values = Array.from(weights.slice(0, -1)).filter((value) => !Number.isNaN(value));
    const total = sumLeft(values);
    if (!(total > 0)) return 0;
    const mean = total / values.length;
    let squares = 0;
    for (const value of values) squares += (value - mean) * (value - mean);
    return Math.sqrt(squares / values.length) / mean;
  }

  function auto(weights, n, threshold, mixing, power, cuts) {
    const total = weights.length;
    const edges = [0, ...Array.from(new Set(cuts)).sort((a, b) => a - b), total];
    const shots = edges.slice(1).map((stop, k) => [edges[k], stop]).filter(([start, stop]) => start < stop);
    const lengths = shots.map(([start, stop]) => stop - start);
    const oneEach = n < shots.length;
    const shares = allocate(n, lengths, null, "duration", shots.map(() => (oneEach ? 0 : 1)), oneEach ? shots.map(() => 1) : lengths);
    return shots.flatMap(([start, stop], k) => {
      const part = weights.slice(start, stop);
      const picks = dynamicity(part) < threshold
        ? uniform(part.length, shares[k], Math.floor(part.length / 2))
        : systematic(part, shares[k], mixing, power, GRID / 2);
      return picks.map((index) => index + start);
    });
  }

  /* Split a budget over videos or shots in whole frames that sum to it. */
  function allocate(total, durations, activities, rule, low, high) {
    const clean = (values) => Array.from(values, (value) => (Number.isNaN(value) ? 0 : value));
    const lengths = clean(durations);
    const count = lengths.length;
    let shares = lengths;
    if (rule === "equal") shares = lengths.map(() => 1);
    else if (rule === "activity") shares = clean(activities).map((activity, i) => Math.sqrt(activity * lengths[i]));
    const least = sumLeft(low);
    const most = sumLeft(high);
    for (let i = 0; i < count; i++) {
      if (low[i] > high[i]) throw new Error("A video needs at least " + low[i] + " frames, but at most " + high[i] + " are allowed or possible.");
    }
    if (least > total) throw new Error("Pinned frames and minima ask for " + least + " frames in all, the budget is " + total + ".");
    if (most < total) throw new Error("At most " + most + " frames can be taken, the budget is " + total + ".");
    const result = new Array(count).fill(0);
    let free = lengths.map((_, i) => i);
    let rest = total;
    const ideal = new Array(count).fill(0);
    while (free.length) {
      let scale = sumLeft(free.map((i) => shares[i]));
      if (scale <= 0) {
        shares = sumLeft(free.map((i) => lengths[i])) > 0 ? lengths : lengths.map(() => 1);
        scale = sumLeft(free.map((i) => shares[i]));
      }
      for (const i of free) ideal[i] = (rest * shares[i]) / scale;
      const below = free.filter((i) => ideal[i] < low[i]);
      const above = free.filter((i) => ideal[i] > high[i]);
      if (below.length === 0 && above.length === 0) break;
      const excess = sumLeft(below.map((i) => low[i] - ideal[i])) - sumLeft(above.map((i) => ideal[i] - high[i]));
      const fixed = new Set([...(excess >= 0 ? below : []), ...(excess <= 0 ? above : [])]);
      for (const i of fixed) {
        result[i] = ideal[i] < low[i] ? low[i] : high[i];
        rest -= result[i];
      }
      free = free.filter((i) => !fixed.has(i));
    }
    for (const i of free) result[i] = Math.floor(ideal[i]);
    const remainder = (i) => ideal[i] - Math.floor(ideal[i]);
    const ranked = free.slice().sort((a, b) => remainder(b) - remainder(a) || a - b);
    let left = total - sumLeft(result);
    while (left > 0) {
      for (const i of ranked) {
        if (left > 0 && result[i] < high[i]) {
          result[i]++;
          left--;
        }
      }
    }
    ranked.reverse();
    while (left < 0) {
      for (const i of ranked) {
        if (left < 0 && result[i] > low[i]) {
          result[i]--;
          left++;
        }
      }
    }
    return result;
  }

  return { GRID, uniform, systematic, auto, allocate, dynamicity };
})();

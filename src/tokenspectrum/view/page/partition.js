// Which tokens of a response are anchors, explorers or forks: k = max(1, floor(p T + 0.5)), and one stable ascending sort by
// (score, position).  The first k are anchors, the last k explorers; forks are the last k by predictive entropy.

export const sizeOf = (p, n) => Math.max(1, Math.floor(p * n + 0.5));

const orders = new WeakMap(); // of each score, so that the slider sorts once

// Positions in ascending order of the score; equal scores keep the order of positions.
export function order(score) {
  if (!orders.has(score)) orders.set(score, Array.from(score.keys()).sort((a, b) => score[a] - score[b] || a - b));
  return orders.get(score);
}

// Sets of positions, empty where a score is missing for some token.
export function partition(values, by, p) {
  const lowest = (name, first) => {
    const score = values[name];
    if (!score || score.length === 0 || score.some(Number.isNaN)) return new Set();
    const ranked = order(score);
    const k = sizeOf(p, score.length);
    return new Set(first ? ranked.slice(0, k) : ranked.slice(-k));
  };
  return {
    anchors: lowest(by, true),
    explorers: lowest(by, false),
    forks: lowest("tokens.predictive_entropy", false),
  };
}

// 1-based place of each token in that order.
export function places(score) {
  const out = new Int32Array(score.length);
  order(score).forEach((position, rank) => {
    out[position] = rank + 1;
  });
  return out;
}

// Which tokens of two responses belong together: a longest common subsequence of their ids, by Myers' O(ND) search.

const MOST_EDITS = 800;

// For each token of a the position of its partner in b, -1 without one.
export function align(a, b) {
  const partner = new Int32Array(a.length).fill(-1);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) {
    partner[head] = head;
    head += 1;
  }
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) {
    partner[a.length - 1 - tail] = b.length - 1 - tail;
    tail += 1;
  }
  const [n, m] = [a.length - head - tail, b.length - head - tail];
  for (const [x, y] of middle((i) => a[head + i], (j) => b[head + j], n, m)) partner[head + x] = head + y;
  return partner;
}

function middle(a, b, n, m) {
  const most = Math.min(n + m, MOST_EDITS);
  const trace = [];
  let reach = new Map([[1, 0]]);
  for (let d = 0; d <= most; d += 1) {
    trace.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? reach.get(k + 1) : reach.get(k - 1) + 1;
      while (x < n && x - k < m && a(x) === b(x - k)) x += 1;
      reach.set(k, x);
      if (x >= n && x - k >= m) return path(trace, n, m);
    }
  }
  return []; // too different: only what they share at both ends
}

function path(trace, n, m) {
  const pairs = [];
  let [x, y] = [n, m];
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    const reach = trace[d]; // as it was before step d
    const k = x - y;
    const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = reach.get(fromK);
    while (x > fromX && y > fromX - fromK) {
      x -= 1;
      y -= 1;
      pairs.push([x, y]);
    }
    [x, y] = [fromX, fromX - fromK];
  }
  return pairs;
}

// b - a for each token of a: NaN where it has no partner.
export function difference(partner, valuesA, valuesB) {
  return Float32Array.from(partner, (j, i) => (j < 0 || !valuesA || !valuesB ? Number.NaN : valuesB[j] - valuesA[i]));
}

// The partners the other way round.
export function inverse(partner, length) {
  const out = new Int32Array(length).fill(-1);
  partner.forEach((j, i) => {
    if (j >= 0) out[j] = i;
  });
  return out;
}

// The two-sided scale of differences: half the width of the column's own scale each way, the same for every pair.
export function differenceScale(scale) {
  const reach = (scale.high - scale.low) / 2;
  return { low: -reach, high: reach, centre: 0, beyond: [true, true] };
}

// Which tokens of two responses belong together: a longest common subsequence of their ids.
//
// Bit-parallel (Crochemore et al. 2001; Hyyrö 2004): bit j of row i is 0 where b's token j makes the longest common
// subsequence with a's first i + 1 tokens longer.  All rows are kept, a bit a cell, and the pairs are read off them backwards.

const MOST_CELLS = 2 ** 30; // 128 MB of bits: 32,768 by 32,768 tokens

// For each token of a the position of its partner in b, -1 without one.  `whole` is false where the two are too long:
// then only what they share at both ends is paired.
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
  const [restA, restB] = [a, b].map((ids) => ids.slice(head, ids.length - tail));
  const whole = restA.length * restB.length <= MOST_CELLS;
  if (whole) for (const [x, y] of pairs(restA, restB)) partner[head + x] = head + y;
  return { partner, whole };
}

// How many are the same, in words.
export function alignedWords({ partner, whole }, lengthB) {
  const n = partner.reduce((sum, at) => sum + (at >= 0), 0);
  if (whole) return `${n} of ${partner.length} and ${lengthB} tokens are the same`;
  return `too long to align: of ${partner.length} and ${lengthB} tokens, the ${n} that both share at their start and end are paired`;
}

function pairs(a, b) {
  const width = Math.ceil(b.length / 32);
  const rows = new Uint32Array(a.length * width);
  const setMask = masks(b, width);
  let before = new Uint32Array(width).fill(0xffffffff);
  for (let i = 0; i < a.length; i += 1) {
    const row = rows.subarray(i * width, (i + 1) * width);
    setMask(a[i], (mask) => nextRow(before, mask, row));
    before = row;
  }
  const found = [];
  const grows = (i, j) => i >= 0 && ((rows[i * width + (j >>> 5)] >>> (j & 31)) & 1) === 0;
  for (let [i, j] = [a.length - 1, b.length - 1]; i >= 0 && j >= 0; ) {
    if (!grows(i, j)) j -= 1;
    else if (grows(i - 1, j)) i -= 1;
    else found.push([i--, j--]);
  }
  return found;
}

// row = (v + (v & mask)) | (v & ~mask), v the row before, over all words with carry.
function nextRow(before, mask, row) {
  let carry = 0;
  for (let w = 0; w < row.length; w += 1) {
    const v = before[w];
    const sum = v + ((v & mask[w]) >>> 0) + carry;
    carry = sum > 0xffffffff ? 1 : 0;
    row[w] = sum | (v & ~mask[w]);
  }
}

// Calls with the bits where b holds an id.  A frequent id, of which there are at most 32, keeps its mask; others share one.
function masks(b, width) {
  const places = new Map();
  b.forEach((id, j) => (places.has(id) ? places.get(id).push(j) : places.set(id, [j])));
  const kept = new Map();
  const shared = new Uint32Array(width);
  const put = (mask, at) => {
    for (const j of at) mask[j >>> 5] |= 1 << (j & 31);
    return mask;
  };
  return (id, call) => {
    const at = places.get(id) ?? [];
    if (at.length > width) {
      if (!kept.has(id)) kept.set(id, put(new Uint32Array(width), at));
      call(kept.get(id));
      return;
    }
    call(put(shared, at));
    for (const j of at) shared[j >>> 5] = 0;
  };
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

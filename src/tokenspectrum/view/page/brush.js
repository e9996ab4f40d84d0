// A brush: from..to of the column across, and of the one up.  It is held by values, since a scale is made anew as a run
// grows; an end that is not given is open.  The cloud counts by bins, so that a brush takes every bin that it touches.

import { BINS, edgeOf } from "./colour.js";

const ROUNDED = 1e-6; // of a bin: an edge that was written down is still that edge

// Its four ends, as text: across from and to, up from and to.
export const readBrush = (text) => (text || "..,..").split(",").flatMap((side) => side.split(".."));

export const writeBrush = ([x0, x1, y0, y1]) => `${x0}..${x1},${y0}..${y1}`;

// The brush around these bins.  The last bins hold what lies beyond them too, so that their outer ends are open.
export function brushAround([x0, x1, y0, y1], sx, sy) {
  const from = (scale, bin) => (bin === 0 ? "" : edgeOf(scale, bin));
  const to = (scale, bin) => (bin === BINS - 1 ? "" : edgeOf(scale, bin + 1));
  return writeBrush([from(sx, x0), to(sx, x1), from(sy, y0), to(sy, y1)]);
}

// The first and the last bin that from..to touches, as the server has them.
export function binsWithin(scale, from, to) {
  const place = (end) => ((Number(end) - scale.low) / (scale.high - scale.low)) * BINS;
  const clamp = (bin) => Math.min(BINS - 1, Math.max(0, bin));
  const first = from === "" ? 0 : clamp(Math.floor(place(from) + ROUNDED));
  const last = to === "" ? BINS - 1 : clamp(Math.ceil(place(to) - ROUNDED) - 1);
  return [first, Math.max(first, last)];
}

export function brushBins(text, sx, sy) {
  const [x0, x1, y0, y1] = readBrush(text);
  return [...binsWithin(sx, x0, x1), ...binsWithin(sy, y0, y1)];
}

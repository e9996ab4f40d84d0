// Colours of values.  Each ramp's lightness only rises or only falls, and the two-sided one goes from blue to orange, so
// that they read the same to colour-blind people and in grey.

export const BINS = 64;
const RAMPS = {
  light: {
    value: ["#f6f3ea", "#cfe0dc", "#8fbfcb", "#4a8fb5", "#275d94", "#16305c"],
    sided: ["#1b4a87", "#83acd8", "#f6f3ea", "#eaaa70", "#a0450d"],
    attention: ["#f6f3ea", "#e9d3e9", "#c48fc8", "#8d4a9c", "#4e1a63"],
  },
  dark: {
    value: ["#1f232a", "#1f3f57", "#256683", "#41969f", "#8fc9aa", "#f2f0b5"],
    sided: ["#8cc0f5", "#34618f", "#22262d", "#8f5521", "#f8b66c"],
    attention: ["#1f232a", "#4a2b53", "#7f4789", "#c081c1", "#f6d3f1"],
  },
};

export function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

const rgbOf = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

// The colour at t in [0, 1] of a ramp, as [r, g, b].
export function rampAt(name, t, of = theme()) {
  const stops = RAMPS[of][name];
  const place = Math.min(1, Math.max(0, t)) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(place));
  const [low, high] = [rgbOf(stops[i]), rgbOf(stops[i + 1])];
  return low.map((v, k) => Math.round(v + (high[k] - v) * (place - i)));
}

export const css = (rgb) => `rgb(${rgb.join(" ")})`;

export function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// Black or white, whichever stands out more: at least 4.5 to 1.
export function ink(rgb) {
  const l = luminance(rgb) + 0.05;
  return l / 0.05 >= 1.05 / l ? "#000000" : "#ffffff";
}

export const place = (scale, value) => (value - scale.low) / (scale.high - scale.low);
// The share of all tokens that lie below the value: by it, colours are spread evenly over tokens and not over values.
export function rankPlace(scale, value) {
  const edges = scale.quantiles;
  let [below, upTo] = [0, 0];
  while (below < edges.length && edges[below] < value) below += 1;
  upTo = below;
  while (upTo < edges.length && edges[upTo] <= value) upTo += 1;
  if (upTo > below) return (below + upTo - 1) / 2 / (edges.length - 1); // on an edge, or on several of one value
  if (below === 0 || below === edges.length) return below === 0 ? 0 : 1;
  return (below - 1 + (value - edges[below - 1]) / (edges[below] - edges[below - 1])) / (edges.length - 1);
}

export const canSpread = (scale) => scale.centre === null && (scale.quantiles?.length ?? 0) > 1;

export const rampOf = (scale) => (scale.centre === null ? "value" : "sided");

// The bin of a value, as the server counts it.
export function binOf(scale, value) {
  if (Number.isNaN(value)) return BINS;
  return Math.min(BINS - 1, Math.max(0, Math.floor(((value - scale.low) / (scale.high - scale.low)) * BINS)));
}

export const edgeOf = (scale, bin) => scale.low + ((scale.high - scale.low) * bin) / BINS;

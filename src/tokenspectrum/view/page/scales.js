// Scales of columns, fetched once a version of the tables, and the legend that shows one.

import { askScale } from "./api.js";
import { css, rampAt, rampOf } from "./colour.js";
import { brief, h, number } from "./dom.js";

let version = 0;
const ready = new Map();

// What is known of a column's scale now; every `later` is called once when another one comes in.  null: not yet.
export function scaleOf(column, later) {
  if (!column) return null;
  let entry = ready.get(column);
  if (!entry) ready.set(column, (entry = { scale: null, version: -1, waiting: new Set(), error: "" }));
  if (entry.version !== version) {
    entry.version = version;
    entry.asking = true;
    askScale(column, version).then(
      (scale) => settle(entry, scale, ""),
      (error) => settle(entry, entry.scale, error.message),
    );
  }
  if (entry.asking) entry.waiting.add(later);
  return entry.scale;
}

function settle(entry, scale, error) {
  const same = JSON.stringify([scale, error]) === JSON.stringify([entry.scale, entry.error]);
  const waiting = [...entry.waiting];
  Object.assign(entry, { scale, error, asking: false });
  entry.waiting.clear();
  if (!same) for (const later of waiting) later();
}

export const scaleProblem = (column) => ready.get(column)?.error ?? "";

// New steps may stretch the scales.
export function setVersion(next) {
  version = next;
}

// A strip of the ramp with its ends and middle; "≤" and "≥" where values lie beyond an end.
export function legend(label, scale, ramp = rampOf(scale), spread = false) {
  const middle = spread ? scale.quantiles[(scale.quantiles.length - 1) / 2] : scale.centre;
  const canvas = h("canvas", { width: 128, height: 1, class: "ramp", "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  for (let i = 0; i < 128; i += 1) {
    context.fillStyle = css(rampAt(ramp, i / 127));
    context.fillRect(i, 0, 1, 1);
  }
  const [under, over] = scale.beyond ?? [false, false];
  return h("div", { class: "legend", role: "img", "aria-label": `${label}: ${number(scale.low)} to ${number(scale.high)}` },
    h("span", { class: "legend-name" }, label), canvas,
    h("span", { class: "ends" },
      h("span", {}, `${under ? "≤ " : ""}${brief(scale.low)}`),
      middle === null ? null : h("span", { title: spread ? "half of all tokens lie below" : null }, brief(middle)),
      h("span", {}, `${over ? "≥ " : ""}${brief(scale.high)}`)));
}

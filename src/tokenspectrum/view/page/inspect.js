// Every value of one token, in words and numbers, beside the strip.

import { byId, columnGroup, columnLabel, fill, h, number } from "./dom.js";
import { places } from "./partition.js";
import { change, state } from "./state.js";

const placed = new WeakMap(); // score array -> places, so that a sweep of the pointer sorts once

function placeOf(score, position) {
  if (!placed.has(score)) placed.set(score, places(score));
  return placed.get(score)[position];
}

export function inspect(response, position, columns, sets, by) {
  const target = byId("values");
  if (!response || position === null || position >= response.ids.length) {
    fill(target, h("p", { class: "quiet" }, "Point at a token, or walk with ← and →, to read its values."));
    return;
  }
  const n = response.ids.length;
  const groups = new Map();
  for (const column of columns) {
    const values = response.values[column.id];
    if (!values) continue;
    const group = columnGroup(column);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(h("tr", { title: column.description, data: { column: column.id } },
      h("th", { scope: "row" }, columnLabel(column).replace(/, layer .*| of .*$/, "")), h("td", {}, number(values[position]))));
  }
  const member = Object.entries(sets).filter(([, set]) => set.has(position)).map(([name]) => name.slice(0, -1));
  const score = response.values[by];
  fill(target,
    h("p", { class: "token-name" }, h("code", { id: "token-text" }, JSON.stringify(response.texts[position])),
      h("span", { class: "quiet" }, ` id ${response.ids[position]} · ${response.types[position]}`)),
    h("p", { class: "quiet" }, `token ${position} of ${n}`,
      score && !Number.isNaN(score[position]) ? ` · place ${placeOf(score, position)} by the score` : "",
      member.length ? h("b", { id: "membership" }, ` · ${member.join(", ")}`) : null),
    attentionLine(response, position),
    [...groups].map(([group, rows]) => h("table", { class: "values" }, h("caption", {}, group), h("tbody", {}, rows))));
}

// Whether one can see where this token looked, and, if not, which tokens one can see.
function attentionLine(response, position) {
  const logged = response.rows.get(position);
  if (logged) {
    const shown = state().rows === String(position);
    const layers = [...logged].sort((a, b) => a - b);
    return h("p", { id: "row-line" }, shown ? "Shown: where it looked, at layer " : "Where it looked, at layer ",
      layers.map((layer) => h("button", { type: "button", class: "chip", "aria-pressed": shown && state().layer === String(layer) ? "true" : "false",
        onclick: () => change({ token: position, rows: position, layer }) }, String(layer))),
      shown ? h("button", { type: "button", class: "quiet", onclick: () => change({ rows: "" }) }, "back to values") : null);
  }
  const near = [...response.rows.keys()].sort((a, b) => Math.abs(a - position) - Math.abs(b - position)).slice(0, 8);
  if (!near.length) return h("p", { id: "row-line", class: "quiet" }, "The attention row of this token was not logged, nor any of this response.");
  return h("p", { id: "row-line", class: "quiet" }, "The attention row of this token was not logged. Rows that were: ",
    near.sort((a, b) => a - b).map((at) =>
      h("button", { type: "button", class: "chip", onclick: () => change({ token: at, rows: at, layer: String(Math.min(...response.rows.get(at))) }) }, String(at))));
}

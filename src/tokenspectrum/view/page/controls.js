// What the strip shows: colour, bar, outlines and p.  Each is one entry of the view.

import { canSpread } from "./colour.js";
import { byId, columnGroup, columnLabel, fill, h, number, refill } from "./dom.js";
import { differenceScale } from "./align.js";
import { legend, scaleOf } from "./scales.js";
import { change, state } from "./state.js";

export function columnSelect(name, label, columns, none) {
  const groups = new Map();
  for (const column of columns) {
    const group = columnGroup(column);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(h("option", { value: column.id, selected: state()[name] === column.id }, columnLabel(column)));
  }
  const element = h("select", { name, id: `choose-${name}` },
    none ? h("option", { value: "" }, none) : null,
    [...groups].map(([group, options]) => h("optgroup", { label: group }, options)));
  element.addEventListener("change", () => change({ [name]: element.value, ...(name === "x" || name === "y" ? { brush: "" } : {}) }));
  return h("label", { class: "control" }, h("span", { class: "label" }, label), element);
}

const MARKS = [["anchors", "anchors"], ["explorers", "explorers"], ["forks", "forks"]];

export function drawControls(tables) {
  const scores = tables.columns.filter((c) => c.table === "attention" && c.field.startsWith("entropy"));
  const p = h("input", { type: "range", id: "p", min: 0.01, max: 0.5, step: 0.01, value: state().p, "aria-label": "share p" });
  p.addEventListener("input", () => change({ p: p.value }));
  refill(byId("controls"),
    columnSelect("colour", "colour", tables.columns),
    columnSelect("bar", "bar below", tables.columns, "none"),
    scores.length ? columnSelect("by", "anchors by", scores, "first layer logged") : null,
    h("div", { class: "control marks" },
      MARKS.map(([name, label]) => {
        const box = h("input", { type: "checkbox", name: "mark", value: name });
        box.addEventListener("change", () => {
          const on = new Set(state().marks.split(",").filter(Boolean));
          if (box.checked) on.add(name);
          else on.delete(name);
          change({ marks: MARKS.map(([one]) => one).filter((one) => on.has(one)).join(",") });
        });
        return h("label", { class: `mark-${name}` }, box, h("span", { class: `tok sample ${name}` }, label));
      }),
      h("label", { class: "slider" }, h("span", { class: "label" }, "p = "), h("output", { id: "p-shown" }, state().p), p)),
    h("div", { id: "legend" }));
}

export function syncControls(tables, comparing, redraw) {
  const view = state();
  for (const element of byId("controls").querySelectorAll("select")) element.value = view[element.name];
  for (const box of byId("controls").querySelectorAll("input[name=mark]")) box.checked = view.marks.split(",").includes(box.value);
  const p = byId("p");
  if (p && p.value !== view.p) p.value = view.p;
  if (p) byId("p-shown").textContent = Number(view.p).toFixed(2);
  const find = (id) => tables.columns.find((column) => column.id === id);
  const shown = [view.colour, view.bar].filter(Boolean).map((id, i) => {
    const scale = scaleOf(id, redraw);
    if (!scale || !find(id)) return null;
    if (i === 0 && comparing && view.diff) return legend(`difference of ${columnLabel(find(id))}`, differenceScale(scale), "sided");
    if (i === 0) {
      const spread = canSpread(scale) && Boolean(view.spread);
      return [legend(columnLabel(find(id)), scale, undefined, spread), canSpread(scale) ? spreadBox(spread) : null];
    }
    const ends = `bar: ${number(scale.low)} to ${number(scale.high)}`;
    return h("p", { class: "legend", title: `${columnLabel(find(id))}: the bar is empty at the low end and full at the high one` }, ends);
  });
  if (byId("legend")) fill(byId("legend"), shown.flat());
}

// Most tokens of a policy are sure: by value they share one shade, by rank they part.
function spreadBox(spread) {
  const box = h("input", { type: "checkbox", id: "spread", title: "equal shares of all tokens take equal steps of colour" });
  box.checked = spread;
  box.addEventListener("change", () => change({ spread: box.checked ? "1" : "" }));
  return h("label", { class: "spread" }, box, " by rank");
}

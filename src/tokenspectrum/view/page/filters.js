// The filter form: every field is one entry of the view.

import { byId, fill, h, refill } from "./dom.js";
import { change, FILTERS, state } from "./state.js";

const chosen = (name) => new Set(state()[name] ? state()[name].split(",") : []);

function chips(name, values, live = new Set()) {
  return h("div", { class: "chips", role: "group", "aria-label": name },
    values.map((value) => {
      const button = h("button", { type: "button", class: "chip", id: `${name}-${value}`, "aria-pressed": chosen(name).has(String(value)) ? "true" : "false",
        data: { name, value } }, String(value), live.has(value) ? h("span", { class: "dot", title: "still training" }) : null);
      button.addEventListener("click", () => {
        const now = chosen(name);
        if (!now.delete(String(value))) now.add(String(value));
        change({ [name]: [...now].join(",") });
      });
      return button;
    }));
}

function field(name, label, props = {}) {
  let timer;
  const input = h("input", { name, value: state()[name], "aria-label": label, placeholder: label, autocomplete: "off", ...props });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => change({ [name]: input.value.trim() }), 200);
  });
  return input;
}

const range = (label, name, step, id) =>
  h("div", { class: "range" }, h("span", { class: "label", id }, label),
    field(`${name}_from`, `${label} from`, { type: "number", step, placeholder: "from" }),
    field(`${name}_to`, `${label} to`, { type: "number", step, placeholder: "to" }));

const options = (name, of) => of.map(([value, text]) => h("option", { value, selected: state()[name] === value }, text));

function select(name, label, of, id) {
  const element = h("select", { name, id, "aria-label": label }, options(name, of));
  element.addEventListener("change", () => change({ [name]: element.value }));
  return element;
}

// A part of the form that shows what there is, made anew when that changes.  The fields are made once: what grows behind
// who types in one must not take it away.
const drawn = new Map();
function renew(id, what, make) {
  const mark = JSON.stringify(what);
  if (drawn.get(id) === mark) return;
  drawn.set(id, mark);
  refill(byId(id), make());
}

export function drawFilters(tables) {
  if (!byId("search")) makeForm();
  const runs = [...new Set(tables.runs.map((entry) => entry.run))];
  const seeds = [...new Set(tables.runs.map((entry) => entry.seed))].sort((a, b) => a - b);
  const live = new Set(tables.runs.filter((entry) => entry.live).map((entry) => entry.run));
  const last = Math.max(0, ...tables.runs.flatMap((entry) => entry.steps));
  renew("filter-runs", [runs, [...live]], () => (runs.length ? chips("run", runs, live) : null));
  renew("filter-seeds", seeds, () => chips("seed", seeds));
  renew("filter-source", tables.sources, () => options("source", [["", "every source"], ...tables.sources.map((source) => [source, source])]));
  renew("filter-steps", last, () => `step (to ${last})`);
}

function makeForm() {
  fill(byId("filters"),
    field("text", "Text in the response", { type: "search", id: "search" }),
    h("div", { id: "filter-runs" }),
    h("div", { class: "line" }, h("span", { class: "label" }, "seed"), h("div", { id: "filter-seeds" })),
    h("div", { class: "line" },
      select("correct", "correct", [["", "right or wrong"], ["yes", "right"], ["no", "wrong"]]),
      select("source", "source", [], "filter-source")),
    range("step", "step", 1, "filter-steps"), range("reward", "reward", "any"), range("length", "length", 1),
    h("div", { class: "line" },
      field("prompt", "prompt id"),
      h("button", { type: "button", class: "quiet", id: "clear" }, "Clear")));
  byId("clear").addEventListener("click", () => {
    change({ ...Object.fromEntries(FILTERS.map((name) => [name, ""])), brush: "" });
    syncFilters();
  });
}

// The form follows the view: after a link, the back button, or a click elsewhere.
export function syncFilters() {
  const view = state();
  for (const input of byId("filters").querySelectorAll("input, select")) {
    if (input !== document.activeElement && input.value !== view[input.name]) input.value = view[input.name];
  }
  for (const chip of byId("filters").querySelectorAll(".chip")) {
    chip.setAttribute("aria-pressed", chosen(chip.dataset.name).has(chip.dataset.value) ? "true" : "false");
  }
  const used = FILTERS.filter((name) => view[name]).length + (view.brush ? 1 : 0);
  byId("filters-used").textContent = used ? `${used} set` : "";
}

// The keyboard: what each key does, and the list of them.

import { byId, fill, h } from "./dom.js";
import { step } from "./list.js";
import { choose, walk } from "./reader.js";
import { change, state } from "./state.js";

const KEYS = [
  [["ArrowDown", "j"], "the next response", () => step(1)],
  [["ArrowUp", "k"], "the one before", () => step(-1)],
  [["ArrowRight", "l"], "the next token", () => walk(1)],
  [["ArrowLeft", "h"], "the token before", () => walk(-1)],
  [["a", "Enter"], "where this token looked", () => state().token !== "" && choose(Number(state().token))],
  [["["], "p down", () => nudge(-0.01)],
  [["]"], "p up", () => nudge(0.01)],
  [["c"], "put the chosen response aside, to compare the next one with it", () => change({ cmp: state().cmp ? "" : state().sel })],
  [["d"], "difference as colour", () => change({ diff: state().diff ? "" : "1" })],
  [["r"], "colours by rank or by value", () => change({ spread: state().spread ? "" : "1" })],
  [["t"], "light or dark", () => byId("theme").click()],
  [["/"], "search the responses' text", () => byId("search").focus()],
  [["Escape"], "put away: attention, brush, token, comparison", () => putAway()],
  [["?"], "these keys", () => byId("keys").showModal()],
];
const NAMES = { ArrowDown: "↓", ArrowUp: "↑", ArrowRight: "→", ArrowLeft: "←", Escape: "Esc" };

function nudge(by) {
  change({ p: Math.min(0.5, Math.max(0.01, Number(state().p) + by)).toFixed(2) });
}

function putAway() {
  const view = state();
  const name = ["rows", "brush", "token", "cmp"].find((one) => view[one]);
  if (name) change({ [name]: "" });
}

export function startKeys() {
  fill(byId("keys-list"), KEYS.map(([keys, what]) =>
    h("div", {}, h("dt", {}, keys.map((key) => h("kbd", {}, NAMES[key] ?? key))), h("dd", {}, what))));
  byId("help").addEventListener("click", () => byId("keys").showModal());
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
    const field = event.target.closest?.("input, select, textarea");
    if (field && event.key === "Escape") field.blur();
    if (field || (event.key === "Enter" && event.target.closest?.("button, summary"))) return;
    const found = KEYS.find(([keys]) => keys.includes(event.key));
    if (!found) return;
    event.preventDefault();
    found[2]();
  });
}

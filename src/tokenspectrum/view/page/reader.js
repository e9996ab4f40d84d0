// The reading column: the chosen response, and beside it the one that it is compared with.

import { align, alignedWords, difference, differenceScale, inverse } from "./align.js";
import { askResponse } from "./api.js";
import { decodeResponse } from "./decode.js";
import { byId, fill, h, refill } from "./dom.js";
import { inspect } from "./inspect.js";
import { clearRow, drawOutlines, dress, makePane, problemBox, showRow } from "./pane.js";
import { scaleOf } from "./scales.js";
import { change, keyOf, shortKey, state } from "./state.js";
import { setCurrent, tokenAt } from "./strip.js";

let tables = { columns: [] };
let panes = [];
let aligned = null;
let partners = null; // from the first pane's tokens to the second's
let asked = 0;
let behind = false; // whether another response was chosen than the server could still give
let kept = new Map(); // the last responses that were read, so that a step back is at once
const followers = [];

// `follower(pane, position)` hears which token is pointed at.
export const follow = (follower) => followers.push(follower);
export const mainPane = () => panes[0] ?? null;
export const isBehind = () => behind;

export function setTables(next) {
  tables = next;
}

async function get(key) {
  const mine = kept; // an answer from before they were forgotten is not kept
  if (!mine.has(key)) {
    mine.set(key, decodeResponse(key, await askResponse(key)));
    if (mine.size > 24) mine.delete(mine.keys().next().value);
  }
  return mine.get(key);
}

export function forget() {
  kept = new Map();
}

// New steps hold other responses to the same problem: none that was read before knows them.
export async function offerNew() {
  forget();
  const pane = panes[0];
  if (!pane) return;
  let fresh;
  try {
    fresh = await get(pane.response.key);
  } catch {
    return; // what is shown stays
  }
  if (pane !== panes[0] || fresh.same.length + fresh.same_left_out === pane.response.same.length + pane.response.same_left_out) return;
  Object.assign(pane.response, { same: fresh.same, same_left_out: fresh.same_left_out });
  refill(byId("compare-line"), chooser(...panes.map((one) => one.response)));
  sayAligned();
}

export async function openResponses() {
  const mine = (asked += 1);
  const { sel, cmp } = state();
  if (!sel) return;
  try {
    const responses = await Promise.all([sel, ...(cmp && cmp !== sel ? [cmp] : [])].map(get));
    if (mine !== asked) return;
    panes = responses.map(makePane);
    aligned = panes.length === 2 ? align(panes[0].response.ids, panes[1].response.ids) : null;
    partners = aligned && aligned.partner;
    behind = false;
    for (const pane of panes) listenTo(pane);
    if (panes[1] && responses[1].facts.prompt_id !== responses[0].facts.prompt_id) {
      panes[1].above.before(h("div", { class: "own-problem" }, problemBox(responses[1])));
    }
    fill(byId("reading"), problemBox(responses[0]), h("div", { class: "compare", id: "compare-line" }, chooser(...responses)),
      h("div", { class: panes.length === 2 ? "panes two" : "panes" }, panes.map((pane) => pane.element)));
    redraw();
  } catch (error) {
    if (mine !== asked) return;
    behind = Boolean(error.gone && panes.length);
    if (behind) { // what is shown stays
      fill(byId("notices"), h("p", {}, error.message));
      return;
    }
    panes = [];
    fill(byId("reading"), h("p", { class: "note" }, error.message));
  }
}

// Other responses to the same problem, by run and step.
function chooser(response, other) {
  const groups = new Map();
  for (const row of response.same) {
    const key = keyOf(row);
    if (key === response.key) continue;
    const group = `${row.run}, seed ${row.seed}, step ${row.step}`;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(h("option", { value: key, selected: key === state().cmp },
      `${row.correct ? "✓" : "✗"} sample ${row.sample}, ${row.n_tokens} tokens (${group})`));
  }
  const known = response.same.some((row) => keyOf(row) === state().cmp);
  const select = h("select", { id: "compare", "aria-label": "compare with" },
    h("option", { value: "" }, groups.size ? "compare with another response to this problem" : "no other response to this problem"),
    state().cmp && !known ? h("option", { value: state().cmp, selected: true },
      `${shortKey(state().cmp)}${other && other.facts.prompt_id !== response.facts.prompt_id ? ", another problem" : ""}`) : null,
    [...groups].map(([label, options]) => h("optgroup", { label }, options)));
  select.addEventListener("change", () => change({ cmp: select.value }));
  const diff = h("input", { type: "checkbox", id: "diff" });
  diff.checked = Boolean(state().diff);
  diff.addEventListener("change", () => change({ diff: diff.checked ? "1" : "" }));
  return [select,
    response.same_left_out ? h("span", { class: "quiet", id: "same-left-out" },
      `${response.same.length} of ${response.same.length + response.same_left_out} responses to it are offered; pick another from the list with shift-click`) : null,
    state().cmp ? h("label", {}, diff, " difference as colour (right − left)") : null,
    state().cmp ? h("span", { class: "quiet", id: "aligned" }) : null];
}

function listenTo(pane) {
  const point = (event) => {
    const position = tokenAt(event);
    if (position !== null) pointAt(pane, position);
  };
  pane.strip.addEventListener("mouseover", point);
  pane.strip.addEventListener("mouseleave", () => rest());
  pane.strip.addEventListener("click", (event) => {
    const position = tokenAt(event);
    if (position === null) return;
    if (pane !== panes[0]) {
      pointAt(pane, position);
      return;
    }
    choose(position);
  });
}

// Chooses a token; a second time on one whose row was logged shows or hides where it looked.
export function choose(position, { toggle = true } = {}) {
  const pane = panes[0];
  if (!pane) return;
  const layers = pane.response.rows.get(position);
  const shown = state().rows === String(position);
  const layer = layers?.includes(Number(state().layer)) ? state().layer : layers ? String(Math.min(...layers)) : state().layer;
  if (layers && toggle) change({ token: position, rows: shown ? "" : position, layer });
  else change({ token: position, rows: "" });
}

function pointAt(pane, position) {
  inspect(pane.response, position, tables.columns, pane.sets, pane.by);
  for (const one of panes) setCurrent(one.tokens, one === pane ? position : partnerOf(pane, position), "pointed");
  for (const follower of followers) follower(pane, position);
}

function partnerOf(pane, position) {
  if (!partners) return -1;
  if (pane === panes[0]) return partners[position] ?? -1;
  return partners.indexOf(position);
}

// The chosen token is the first pane's; in the other one its partner has the ring.
function ringChosen() {
  const at = state().token === "" ? -1 : Number(state().token);
  for (const pane of panes) setCurrent(pane.tokens, pane === panes[0] ? at : partnerOf(panes[0], at));
}

function rest() {
  for (const pane of panes) setCurrent(pane.tokens, -1, "pointed");
  const { token } = state();
  const pane = panes[0];
  inspect(pane?.response ?? null, token === "" ? null : Number(token), tables.columns, pane?.sets ?? {}, pane?.by);
  for (const follower of followers) follower(pane, token === "" ? null : Number(token));
}

export function walk(by) {
  const pane = panes[0];
  if (!pane || !pane.tokens.length) return;
  const at = state().token === "" ? (by > 0 ? -1 : pane.tokens.length) : Number(state().token);
  const next = Math.min(pane.tokens.length - 1, Math.max(0, at + by));
  change({ token: next, rows: "" });
  pane.tokens[next].scrollIntoView({ block: "nearest" });
}

// Only another token is chosen, or only p or the marks changed: nothing is painted again.
export function moveToken() {
  ringChosen();
  rest();
}

export function redrawOutlines() {
  for (const pane of panes) drawOutlines(pane);
  rest();
}

// Paints again what is on the page; no question is asked but for scales and rows that are not here yet.
export async function redraw() {
  const view = state();
  const later = () => redraw();
  const diff = panes.length === 2 && view.diff ? differences(view.colour, later) : [null, null];
  panes.forEach((pane, i) => {
    clearRow(pane);
    dress(pane, tables.columns, later, diff[i]);
  });
  ringChosen();
  sayAligned();
  rest();
  if (view.rows !== "" && panes[0]) {
    const pane = panes[0];
    try {
      await showRow(pane, Number(view.rows), view.layer);
      if (state().rows !== view.rows || panes[0] !== pane) redraw();
    } catch (error) {
      fill(pane.above, h("p", { class: "note" }, error.message));
    }
  }
}

function sayAligned() {
  if (panes.length === 2 && byId("aligned")) byId("aligned").textContent = alignedWords(aligned, panes[1].tokens.length);
}

function differences(column, later) {
  const scale = scaleOf(column, later);
  if (!scale) return [null, null];
  const [a, b] = panes.map((pane) => pane.response.values[column]);
  const values = difference(partners, a, b);
  const back = inverse(partners, panes[1].tokens.length);
  const mirrored = Float32Array.from(back, (i) => (i < 0 ? Number.NaN : values[i]));
  const shared = differenceScale(scale);
  return [{ values, scale: shared }, { values: mirrored, scale: shared }];
}

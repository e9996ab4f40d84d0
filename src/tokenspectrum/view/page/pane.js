// One response, read: its facts, its problem and its strip.  Compare shows two of these side by side.

import { legend, scaleOf, scaleProblem } from "./scales.js";
import { fetchRows, paintRow, promptShare, promptStrip, rowScale } from "./attention.js";
import { brushBins } from "./brush.js";
import { binOf } from "./colour.js";
import { columnLabel, fill, h, number, percent } from "./dom.js";
import { partition } from "./partition.js";
import { shortKey, state } from "./state.js";
import { buildStrip, dim, drawBars, outline, paint } from "./strip.js";

export function makePane(response) {
  const { strip, tokens } = buildStrip(response, shortKey(response.key));
  const above = h("div", { class: "above" });
  const facts = response.facts;
  const element = h("article", { class: "pane", data: { key: response.key } },
    h("header", {},
      h("h2", {}, shortKey(response.key)),
      h("p", { class: "facts" },
        h("span", { class: facts.correct ? "verdict right" : "verdict wrong" }, facts.correct ? "✓ right" : "✗ wrong"),
        fact("answer", facts.answer ?? "none boxed"), fact("gold", response.problem?.gold ?? "not known"),
        facts.reward === null ? null : [fact("reward", number(facts.reward)), fact("raw", number(facts.reward_raw)),
          fact("advantage", number(facts.advantage))],
        fact("tokens", `${number(facts.n_tokens)}, ${facts.finish_reason === "length" ? "cut off" : "ended"}`))),
    response.notes.map((note) => h("p", { class: "note" }, note)),
    above, strip);
  return { response, element, strip, tokens, above, sets: { anchors: new Set(), explorers: new Set(), forks: new Set() } };
}

const fact = (name, value) => h("span", { class: "fact" }, h("span", { class: "label" }, name), " ", h("b", {}, value));

export function problemBox(response) {
  const problem = response.problem;
  if (!problem) return h("p", { class: "quiet" }, `The problem ${response.facts.prompt_id} is not in the prompts table.`);
  const extra = problem.chat.length > 1 || problem.chat[0]?.content !== problem.problem;
  return h("div", { class: "problem" },
    h("p", { class: "problem-text" }, problem.problem),
    h("p", { class: "quiet" }, `${problem.source} · prompt ${response.facts.prompt_id}`),
    extra ? h("details", {}, h("summary", {}, "as the policy saw it"),
      problem.chat.map((turn) => h("p", { class: "problem-text" }, h("b", {}, `${turn.role}: `), turn.content))) : null);
}

// The score whose lowest and highest tokens are outlined: the one chosen, else the first attention entropy there is.
export function scoreOf(response, by) {
  if (by && response.values[by]) return by;
  const layer = /^attention\.entropy_norm\./;
  return Object.keys(response.values).find((name) => layer.test(name)) ?? "";
}

// Colours, bars and outlines as the view says.  `difference` {values, scale} takes the place of the colour's column.
export function dress(pane, columns, redraw, difference = null) {
  const view = state();
  const { response, tokens, strip } = pane;
  drawOutlines(pane);
  const scale = scaleOf(view.colour, redraw);
  if (difference) paint(tokens, difference.values, difference.scale, "sided");
  else paint(tokens, response.values[view.colour] ?? new Float32Array(tokens.length).fill(Number.NaN), scale, undefined, Boolean(view.spread));
  drawBars(strip, tokens, response.values[view.bar], view.bar ? scaleOf(view.bar, redraw) : null);
  brush(pane, redraw);
  const label = (id) => columnLabel(columns.find((column) => column.id === id) ?? { table: "", field: id });
  const missing = !response.values[view.colour] ? h("p", { class: "note" }, `${label(view.colour)} was not logged for this response`) : null;
  fill(pane.above, missing, scaleProblem(view.colour) ? h("p", { class: "note" }, scaleProblem(view.colour)) : null);
}

// The partitions at p, and their outlines.
export function drawOutlines(pane) {
  const view = state();
  const p = Math.min(1, Math.max(0, Number(view.p) || 0));
  pane.by = scoreOf(pane.response, view.by);
  pane.sets = partition(pane.response.values, pane.by, p);
  outline(pane.tokens, pane.sets, new Set(view.marks.split(",")));
}

function brush(pane, redraw) {
  const view = state();
  if (!view.brush) {
    dim(pane.tokens, null);
    return;
  }
  const [sx, sy] = [scaleOf(view.x, redraw), scaleOf(view.y, redraw)];
  const [vx, vy] = [pane.response.values[view.x], pane.response.values[view.y]];
  if (!sx || !sy) return;
  const [x0, x1, y0, y1] = brushBins(view.brush, sx, sy);
  const within = (scale, values, i, low, high) => {
    const bin = values ? binOf(scale, values[i]) : -1;
    return bin >= low && bin <= high;
  };
  dim(pane.tokens, (i) => within(sx, vx, i, x0, x1) && within(sy, vy, i, y0, y1));
}

// The attention row of a token in the place of the colours.
export async function showRow(pane, position, layer) {
  const rows = await fetchRows(pane.response.key, position);
  const chosen = rows.layers[layer] ? layer : Object.keys(rows.layers)[0];
  const row = rows.layers[chosen];
  const scale = rowScale(row);
  fill(pane.above,
    h("p", { class: "row-title" }, `Where token ${position} looked at layer ${chosen}: `,
      h("b", { id: "prompt-share" }, `${percent(promptShare(rows, row))} on the prompt`), `, ${row.length} positions seen`),
    legend("attention (square root)", scale, "attention"),
    rows.prompt ? null : h("p", { class: "note" }, "The prompt's tokens were not logged and cannot be made again here: its positions are numbered."),
    promptStrip(rows, row, scale));
  outline(pane.tokens, pane.sets, new Set());
  paintRow(pane.tokens, rows, row, scale);
}

export function clearRow(pane) {
  for (const token of pane.tokens) {
    token.classList.remove("unseen");
    if (token.title.startsWith("attention ")) token.title = "";
  }
}

// The cloud: how many tokens lie where in two columns, with a histogram along each side.  A brush there filters; a filter
// elsewhere changes the cloud.  The server counts; the chosen response's tokens, which the page has, are drawn on top.

import { askCloud, embedded } from "./api.js";
import { brushAround, brushBins, readBrush, writeBrush } from "./brush.js";
import { BINS, binOf, css, rampAt, theme } from "./colour.js";
import { columnSelect } from "./controls.js";
import { brief, byId, fill, h, number, refill } from "./dom.js";
import { mainPane } from "./reader.js";
import { scaleOf } from "./scales.js";
import { change, state } from "./state.js";

const PLOT = 256; // pixels of the density, four a bin
const SIDE = 44; // of each histogram
let counts = null;
let asked = 0;
let drag = null;
let pointed = null;
let context; // of the canvas that is seen
let base; // all but the pointed token, drawn apart: pointing must not draw thousands of dots
let shownDots = [];

export function startCloud(tables) {
  if (embedded) {
    fill(byId("cloud"), h("p", { class: "quiet" }, "This page carries its responses alone; the cloud of all tokens is in spectrum view."));
    return;
  }
  const axes = [columnSelect("x", "across", tables.columns), columnSelect("y", "up", tables.columns, "choose")];
  if (byId("cloud-axes")) {
    refill(byId("cloud-axes"), axes); // a run that logs another column takes no brush from who types it
    return;
  }
  const canvas = h("canvas", { id: "density", width: (PLOT + SIDE) * 2, height: (PLOT + SIDE) * 2, role: "img", tabindex: 0,
    "aria-label": "density of tokens; drag to brush, or type the ends below" });
  context = canvas.getContext("2d");
  base = h("canvas", { width: canvas.width, height: canvas.height }).getContext("2d");
  base.scale(2, 2);
  fill(byId("cloud"), h("div", { class: "line", id: "cloud-axes" }, axes),
    canvas, h("div", { id: "axis", class: "quiet" }), h("div", { id: "brush-line", class: "line" }));
  canvas.addEventListener("pointerdown", (event) => begin(event, canvas));
  canvas.addEventListener("pointermove", (event) => drag && extend(event, canvas));
  canvas.addEventListener("pointerup", (event) => finish(event, canvas));
  canvas.addEventListener("dblclick", () => change({ brush: "" }));
}

export async function loadCloud() {
  const view = state();
  if (embedded || !view.x || !view.y) return;
  const mine = (asked += 1);
  byId("cloud").classList.add("waiting");
  if (!counts) drawCloud();
  try {
    const reply = await askCloud(view);
    if (mine !== asked) return;
    counts = tally(reply);
    drawCloud();
  } catch (error) {
    if (mine === asked) byId("axis").textContent = error.message;
  }
  if (mine === asked) byId("cloud").classList.remove("waiting");
}

function tally({ x, y, n }) {
  const out = { grid: new Float64Array(BINS * BINS), x: new Float64Array(BINS), y: new Float64Array(BINS), total: 0, missing: 0 };
  n.forEach((count, i) => {
    if (x[i] >= BINS || y[i] >= BINS) {
      out.missing += count;
      return;
    }
    out.grid[y[i] * BINS + x[i]] += count;
    out.x[x[i]] += count;
    out.y[y[i]] += count;
    out.total += count;
  });
  return out;
}

// Which bins the pointer is over; along a histogram the other column is whole.
function binsAt(event, canvas) {
  const box = canvas.getBoundingClientRect();
  const px = ((event.clientX - box.left) / box.width) * (PLOT + SIDE);
  const py = ((event.clientY - box.top) / box.height) * (PLOT + SIDE);
  const bin = (v) => Math.min(BINS - 1, Math.max(0, Math.floor((v / PLOT) * BINS)));
  return { x: bin(px), y: bin(PLOT + SIDE - py), alongX: py < SIDE, alongY: px > PLOT };
}

function begin(event, canvas) {
  drag = { from: binsAt(event, canvas), to: null };
  canvas.setPointerCapture(event.pointerId);
}

function extend(event, canvas) {
  drag.to = binsAt(event, canvas);
  drawCloud();
}

const scales = () => [state().x, state().y].map((column) => scaleOf(column, drawCloud));

// The brush that is being drawn; none before the scales are here.
function dragged() {
  const { from, to } = drag;
  const [sx, sy] = scales();
  if (!sx || !sy) return "";
  const span = (a, b) => [Math.min(a, b), Math.max(a, b)];
  const whole = [0, BINS - 1];
  const x = from.alongY ? whole : span(from.x, to.x);
  const y = from.alongX && !from.alongY ? whole : span(from.y, to.y);
  return brushAround([...x, ...y], sx, sy);
}

function finish(event, canvas) {
  if (!drag) return;
  const done = drag;
  done.to = binsAt(event, canvas);
  const moved = Math.abs(done.to.x - done.from.x) + Math.abs(done.to.y - done.from.y);
  const brush = moved ? dragged() : "";
  drag = null;
  if (moved) change({ brush });
  else nearest(done.to);
}

// A click takes the chosen response's token that is drawn nearest.
function nearest(at) {
  const dots = dotsOf();
  const far = (dot) => (dot.x - at.x) ** 2 + (dot.y - at.y) ** 2;
  const best = dots.reduce((one, dot) => (!one || far(dot) < far(one) ? dot : one), null);
  if (best && far(best) <= 9) change({ token: best.i, rows: "" });
}

function dotsOf() {
  const pane = mainPane();
  const view = state();
  const [sx, sy] = scales();
  const [vx, vy] = [pane?.response.values[view.x], pane?.response.values[view.y]];
  if (!sx || !sy || !vx || !vy) return [];
  return Array.from(vx, (v, i) => ({ i, x: binOf(sx, v), y: binOf(sy, vy[i]) })).filter((dot) => dot.x < BINS && dot.y < BINS);
}

export function pointCloud(position) {
  pointed = position;
  show();
}

// What was drawn, and the token that is pointed at on top.
function show() {
  if (!context) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.drawImage(base.canvas, 0, 0);
  const dot = counts && shownDots.find((one) => one.i === pointed);
  if (!dot) return;
  const cell = PLOT / BINS;
  context.scale(2, 2);
  context.beginPath();
  context.arc((dot.x + 0.5) * cell, SIDE + PLOT - (dot.y + 0.5) * cell, 5, 0, 7);
  context.fillStyle = dotColour();
  context.fill();
  context.strokeStyle = theme() === "dark" ? "#000" : "#fff";
  context.stroke();
}

const dotColour = () => (theme() === "dark" ? "#f8b66c" : "#c8591a");

export function drawCloud() {
  if (!base) return;
  const view = state();
  for (const name of ["x", "y"]) byId(`choose-${name}`).value = view[name];
  const ink = theme() === "dark" ? "#c8ccd4" : "#3a3f48";
  base.clearRect(0, 0, PLOT + SIDE, PLOT + SIDE);
  if (!counts) {
    base.fillStyle = ink;
    base.font = "12px sans-serif";
    base.fillText(view.y ? "reading these columns of all tokens …" : "choose two columns", 8, SIDE + 20);
    show();
    return;
  }
  const most = Math.log1p(counts.grid.reduce((a, b) => Math.max(a, b), 0)) || 1;
  const cell = PLOT / BINS;
  base.fillStyle = css(rampAt("value", 0));
  base.fillRect(0, SIDE, PLOT, PLOT);
  counts.grid.forEach((n, at) => {
    if (!n) return;
    base.fillStyle = css(rampAt("value", 0.12 + 0.88 * (Math.log1p(n) / most)));
    base.fillRect((at % BINS) * cell, SIDE + PLOT - (Math.floor(at / BINS) + 1) * cell, cell, cell);
  });
  sides(ink, cell);
  dots(cell);
  const brush = drag?.to ? dragged() : view.brush;
  const [sx, sy] = scales();
  if (brush && sx && sy) {
    const [x0, x1, y0, y1] = brushBins(brush, sx, sy);
    base.strokeStyle = ink;
    base.lineWidth = 1.5;
    base.strokeRect(x0 * cell, SIDE + PLOT - (y1 + 1) * cell, (x1 - x0 + 1) * cell, (y1 - y0 + 1) * cell);
  }
  show();
  if (sx && sy) words(brush, sx, sy);
}

function sides(ink, cell) {
  const [mx, my] = [counts.x, counts.y].map((side) => side.reduce((a, b) => Math.max(a, b), 0) || 1);
  base.fillStyle = ink;
  base.globalAlpha = 0.55;
  counts.x.forEach((n, i) => {
    const height = (n / mx) * (SIDE - 4);
    base.fillRect(i * cell, SIDE - 2 - height, cell - 0.5, height);
  });
  counts.y.forEach((n, i) => base.fillRect(PLOT + 2, SIDE + PLOT - (i + 1) * cell, (n / my) * (SIDE - 4), cell - 0.5));
  base.globalAlpha = 1;
}

function dots(cell) {
  shownDots = dotsOf();
  base.fillStyle = dotColour();
  for (const dot of shownDots) {
    base.beginPath();
    base.arc((dot.x + 0.5) * cell, SIDE + PLOT - (dot.y + 0.5) * cell, 2, 0, 7);
    base.fill();
  }
}

function words(brush, sx, sy) {
  byId("axis").textContent = `across ${number(sx.low)} to ${number(sx.high)}, up ${number(sy.low)} to ${number(sy.high)}; ` +
    `${number(counts.total)} tokens, shade by log count${counts.missing ? `, ${number(counts.missing)} without a value` : ""}`;
  const line = byId("brush-line");
  if (!brush) {
    fill(line, h("span", { class: "quiet" }, "Drag on the cloud, or on a histogram, to keep the responses with tokens there."));
    return;
  }
  if (!line.querySelector("input")) {
    fill(line, ["across from", "across to", "up from", "up to"].map(endInput),
      h("button", { type: "button", class: "quiet", id: "unbrush", onclick: () => change({ brush: "" }) }, "clear brush"));
  }
  // One that is typed in is left to who types.
  for (const [i, input] of line.querySelectorAll("input").entries()) {
    input.placeholder = brief([sx.low, sx.high, sy.low, sy.high][i]);
    if (input !== document.activeElement) showEnd(input, readBrush(brush)[i]);
  }
}

function showEnd(input, end) {
  input.value = end === "" ? "" : String(Number(Number(end).toPrecision(4)));
}

// An end of the brush can be typed; the other three are those of the view, whatever this line showed when it was made.
function endInput(label, i) {
  const input = h("input", { type: "number", step: "any", "aria-label": label });
  input.addEventListener("change", () => {
    const ends = readBrush(state().brush);
    const typed = input.value === "" ? "" : Number(input.value);
    const other = ends[i ^ 1];
    const crossed = typed !== "" && other !== "" && (i % 2 ? typed < Number(other) : typed > Number(other));
    ends[i] = crossed ? other : typed;
    change({ brush: writeBrush(ends) });
    if (crossed) showEnd(input, other);
  });
  return input;
}

// Starts the page, and says what is drawn anew when a part of the view changes or when the tables grow.

import { askState, embedded } from "./api.js";
import { drawCloud, loadCloud, pointCloud, startCloud } from "./cloud.js";
import { theme } from "./colour.js";
import { drawControls, syncControls } from "./controls.js";
import { byId, fill, h } from "./dom.js";
import { drawFilters, syncFilters } from "./filters.js";
import { startKeys } from "./keys.js";
import { loadList, mark, startList, syncSort } from "./list.js";
import { follow, forget, isBehind, mainPane, moveToken, offerNew, openResponses, redraw, redrawOutlines, setTables } from "./reader.js";
import { setVersion } from "./scales.js";
import { change, FILTERS, listen, state } from "./state.js";

const EVERY_MS = 2000;
let tables = { version: -1, begun: 0, runs: [], columns: [], sources: [], notices: [], reading: [0, 0] };

function applyTheme() {
  document.documentElement.dataset.theme = state().theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function applyPane() {
  document.body.dataset.pane = state().pane;
  for (const tab of document.querySelectorAll("#tabs button")) tab.setAttribute("aria-pressed", tab.dataset.pane === state().pane ? "true" : "false");
}

function drawAround() {
  syncControls(tables, Boolean(state().cmp), drawAround);
}

// The second column of the cloud, before one is chosen: the attention entropy that most runs logged, else the log-probability.
function chooseAxes() {
  const has = (id) => tables.columns.some((column) => column.id === id);
  const entropies = tables.columns.filter((column) => column.table === "attention" && column.field === "entropy_norm");
  const first = entropies.reduce((best, column) => (best && best.runs >= column.runs ? best : column), null);
  const patch = {};
  if (tables.columns.length && !has(state().y)) patch.y = first?.id ?? (has("tokens.logprob") ? "tokens.logprob" : tables.columns[0].id);
  if (tables.columns.length && !has(state().x)) patch.x = tables.columns[0].id;
  if (Object.keys(patch).length) change({ ...patch, brush: "" });
}

function drawNotices() {
  const [done, all] = tables.reading;
  const live = tables.runs.filter((entry) => entry.live);
  const words = live.map((entry) => `${entry.run} seed ${entry.seed} at step ${Math.max(...entry.steps)}`);
  byId("live").textContent = live.length ? `${words.slice(0, 2).join(", ")}${live.length > 2 ? ` and ${live.length - 2} more` : ""} training` : "";
  byId("live").hidden = !live.length;
  const lines = [...tables.notices, ...(all ? [`reading: ${done} of ${all} steps`] : [])];
  fill(byId("notices"), lines.map((line) => h("p", {}, line)));
}

async function look() {
  let next;
  try {
    next = await askState();
  } catch (error) {
    fill(byId("notices"), h("p", {}, error.message));
    return;
  }
  const grown = next.version !== tables.version;
  const columns = JSON.stringify(next.columns) !== JSON.stringify(tables.columns);
  const first = tables.version < 0;
  const anew = next.begun !== tables.begun; // files were replaced: what the page keeps is of those before
  tables = next;
  drawNotices();
  if (!grown) {
    if (isBehind()) openResponses();
    return;
  }
  byId("preset").textContent = tables.title;
  document.title = `${tables.title} · spectrum view`;
  const settled = !tables.reading[1]; // while much is read, scales would be made anew at each look
  if (settled || first) setVersion(tables.version);
  setTables(tables);
  drawFilters(tables);
  if (columns) {
    drawControls(tables);
    startCloud(tables);
    chooseAxes();
  }
  syncFilters();
  syncSort();
  loadList({ keep: !first });
  if (first || columns || anew || isBehind() || !mainPane()) {
    forget();
    openResponses();
  } else {
    offerNew();
    redraw();
  }
  drawAround();
  if (settled) loadCloud();
}

listen((view, changed) => {
  const any = (...names) => names.some((name) => changed.has(name));
  if (any("theme")) applyTheme();
  if (any("pane")) applyPane();
  if (any(...FILTERS, "sort", "down", "brush")) loadList();
  if (any(...FILTERS)) syncFilters();
  if (any("brush")) syncFilters();
  if (any("sort", "down")) syncSort();
  if (any(...FILTERS, "x", "y")) loadCloud();
  if (any("sel", "cmp")) openResponses().then(drawCloud);
  else if ([...changed].every((name) => name === "token" || (name === "layer" && !view.rows))) moveToken();
  else if ([...changed].every((name) => ["p", "marks", "by"].includes(name)) && !view.rows) redrawOutlines();
  else if (any("colour", "bar", "spread", "p", "marks", "by", "brush", "diff", "theme", "token", "rows", "layer", "x", "y")) redraw();
  if (any("sel")) mark();
  if (any("colour", "bar", "spread", "p", "marks", "by", "cmp", "diff", "theme")) drawAround();
  if (any("brush", "theme", "x", "y")) drawCloud();
});

byId("theme").addEventListener("click", () => change({ theme: theme() === "dark" ? "light" : "dark" }));
for (const tab of document.querySelectorAll("#tabs button")) tab.addEventListener("click", () => change({ pane: tab.dataset.pane }));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  applyTheme();
  redraw();
});
follow((pane, position) => pointCloud(position));
applyTheme();
applyPane();
startList();
startKeys();
look();
if (!embedded) setInterval(() => document.hidden || look(), EVERY_MS);

// The list of responses: what the filters let through, in order, page by page as one scrolls or steps down.

import { askPlace, askResponses } from "./api.js";
import { byId, fill, h, number, percent } from "./dom.js";
import { change, keyOf, state } from "./state.js";
import { oneLine } from "./text.js";

const PAGE = 50;
const MOST = 500; // that the server gives at once
let rows = [];
let total = 0;
let asked = 0;
let fetching = null;

const short = (n) => (n < 1e5 ? number(n) : n.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 }));

function item(row) {
  const key = keyOf(row);
  return h("li", { class: "row", role: "option", id: `row-${key}`, data: { key }, "aria-selected": state().sel === key ? "true" : "false" },
    h("span", { class: row.correct ? "mark right" : "mark wrong", title: row.correct ? "right" : "wrong" }, row.correct ? "✓" : "✗"),
    h("span", { class: "head" }, oneLine(row.head ?? row.text)),
    h("span", { class: "meta" }, `${row.run} · s${row.seed} · step ${row.step}`),
    h("span", { class: "meta figures" },
      row.hits ? h("b", { title: "tokens in the brush" }, `${row.hits} hit${row.hits > 1 ? "s" : ""} · `) : null,
      `${number(row.n_tokens)} tok${row.hits || row.reward === null ? "" : ` · R ${number(row.reward)}`}`));
}

function show() {
  fill(byId("list"), rows.map(item));
  if (!rows.length) fill(byId("list"), h("li", { class: "empty" }, "No response passes these filters."));
}

// Asks anew.  With `keep`, for a list that grew behind the reader: as many rows as were here, and the same ones in view.
export async function loadList({ keep = false } = {}) {
  const mine = (asked += 1);
  const list = byId("list");
  try {
    const page = await askResponses(state(), 0, keep ? Math.min(MOST, Math.max(PAGE, rows.length)) : PAGE);
    while (mine === asked && keep && page.rows.length < page.total && lacks(page)) {
      const next = await askResponses(state(), page.rows.length, MOST);
      if (!next.rows.length) break;
      page.rows.push(...next.rows);
    }
    if (mine !== asked) return;
    const seen = keep ? inView() : null;
    rows = page.rows;
    total = page.total;
    byId("count").textContent =
      `${number(total)} responses · ${short(page.tokens)} tokens · ${percent(page.correct)} right`;
    show();
    const there = seen && byId(seen.id);
    if (there) list.scrollTop += there.getBoundingClientRect().top - seen.top;
    if (!state().sel && rows.length) change({ sel: keyOf(rows[0]) });
    mark();
  } catch (error) {
    if (mine === asked) byId("count").textContent = error.message;
  }
}

// The first row in view, where the reader has left the top of the list.
function inView() {
  const list = byId("list");
  if (!list.scrollTop) return null;
  const { top } = list.getBoundingClientRect();
  const row = [...list.querySelectorAll(".row")].find((one) => one.getBoundingClientRect().bottom > top);
  return row ? { id: row.id, top: row.getBoundingClientRect().top } : null;
}

// Whether a page must reach further down: to as many rows as are here, and to what is in view, which new ones may have moved.
function lacks(page) {
  const n = page.rows.length;
  const seen = inView();
  return n < rows.length || (n < rows.length + page.total - total && seen && !page.rows.some((row) => `row-${keyOf(row)}` === seen.id));
}

// The next page.  Who asks while it is on its way waits for the same one.
function more(limit = PAGE) {
  if (!fetching && rows.length < total) fetching = append(limit).finally(() => (fetching = null));
  return fetching;
}

async function append(limit) {
  const [mine, from] = [asked, rows.length];
  try {
    const page = await askResponses(state(), from, limit);
    if (mine !== asked || rows.length !== from) return; // the list is another by now
    rows.push(...page.rows);
    byId("list").append(...page.rows.map(item));
  } catch (error) {
    byId("count").textContent = error.message;
  }
}

// The chosen row is marked, and seen when it was reached by key.
export function mark(scroll = false) {
  for (const element of byId("list").children) {
    const is = element.dataset.key === state().sel;
    element.setAttribute("aria-selected", is ? "true" : "false");
    if (is) {
      byId("list").setAttribute("aria-activedescendant", element.id);
      if (scroll) element.scrollIntoView({ block: "nearest" });
    }
  }
}

let stepping = Promise.resolve();
export function step(by) {
  stepping = stepping.then(() => stepOnce(by));
  return stepping;
}

// On from the chosen response.  A link may name one far down the list, or one that the filters leave out.
async function stepOnce(by) {
  const { sel } = state();
  let at = rows.findIndex((row) => keyOf(row) === sel);
  if (at < 0 && sel) {
    try {
      at = (await askPlace(state(), sel)) ?? -1;
    } catch (error) {
      byId("count").textContent = error.message;
      return;
    }
  }
  let next = at < 0 ? 0 : at + by;
  for (let had = -1; next >= rows.length && had < rows.length; ) {
    had = rows.length;
    await more(Math.min(MOST, Math.max(PAGE, next + 1 - rows.length)));
  }
  next = Math.min(rows.length - 1, Math.max(0, next));
  if (rows[next]) change({ sel: keyOf(rows[next]), token: "", rows: "" });
  mark(true);
}

export function startList() {
  const list = byId("list");
  list.addEventListener("click", (event) => {
    const key = event.target.closest(".row")?.dataset.key;
    if (!key) return;
    if (event.shiftKey) change({ cmp: key });
    else change({ sel: key, token: "", rows: "", pane: "read" });
  });
  list.addEventListener("scroll", () => {
    if (list.scrollTop + list.clientHeight > list.scrollHeight - 400) more();
  });
  byId("sort").addEventListener("change", (event) => {
    const [sort, down] = event.target.value.split(" ");
    change({ sort, down: down ?? "" });
  });
}

export function syncSort() {
  const { sort, down } = state();
  byId("sort").value = down ? `${sort} 1` : sort;
}

// Questions to the server, or, in an exported page, to the data that it carries.

import { FILTERS, keyOf, readKey } from "./state.js";

const carried = document.getElementById("carried");
export const embedded = carried ? JSON.parse(carried.textContent) : null;

async function ask(name, query = {}) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== "" && value !== null) for (const one of [value].flat()) search.append(key, one);
  }
  let reply;
  try {
    reply = await fetch(`api/${name}?${search}`);
  } catch {
    throw Object.assign(new Error("spectrum view no longer answers; start it again and reload"), { gone: true });
  }
  const kind = reply.headers.get("content-type") ?? "";
  if (!kind.startsWith("application/json")) throw new Error((await reply.text()).trim());
  const body = await reply.json();
  if (body.error) throw new Error(body.error);
  return body;
}

function filterQuery(view) {
  const query = Object.fromEntries(FILTERS.map((name) => [name, view[name]]));
  for (const name of ["run", "seed"]) query[name] = view[name] ? view[name].split(",") : [];
  return query;
}

const brushQuery = (view) => (view.brush ? { x: view.x, y: view.y, brush: view.brush } : {});

export const askState = () => (embedded ? Promise.resolve(embedded.state) : ask("state"));

export async function askResponses(view, offset, limit = 50) {
  if (embedded) return embeddedResponses(view, offset, limit);
  return ask("responses", { ...filterQuery(view), ...brushQuery(view), sort: view.sort, down: view.down, offset, limit });
}

// Where a response stands in that list, from 0; null where the filters leave it out.
export async function askPlace(view, key) {
  if (!embedded) return (await ask("place", { ...filterQuery(view), ...brushQuery(view), sort: view.sort, down: view.down, of: key })).place;
  const at = embeddedResponses(view, 0, Infinity).rows.findIndex((row) => keyOf(row) === key);
  return at < 0 ? null : at;
}

export async function askResponse(key) {
  if (!embedded) return ask("response", readKey(key));
  if (!embedded.strips[key]) throw new Error(`${key}: this page does not carry it`);
  return embedded.strips[key];
}

export async function askAttention(key, position) {
  if (!embedded) return ask("attention", { ...readKey(key), position });
  return embedded.attention[`${key}/${position}`];
}

const scales = new Map();
export function askScale(column, version) {
  if (embedded) return Promise.resolve(embedded.scales[column]);
  const key = `${column} ${version}`;
  if (!scales.has(key)) scales.set(key, ask("scale", { column }));
  return scales.get(key);
}

export const askCloud = (view) => ask("cloud", { ...filterQuery(view), x: view.x, y: view.y });

function embeddedResponses(view, offset, limit) {
  const among = (list, value) => !list || list.split(",").includes(String(value));
  // null is no number: JavaScript would take it for 0.
  const within = (value, low, high) => (low === "" || (value !== null && value >= +low)) && (high === "" || (value !== null && value <= +high));
  const rows = embedded.rows.filter(
    (row) =>
      among(view.run, row.run) && among(view.seed, row.seed) && within(row.step, view.step_from, view.step_to) &&
      within(row.reward, view.reward_from, view.reward_to) && within(row.n_tokens, view.length_from, view.length_to) &&
      (!view.source || row.source === view.source) && (!view.prompt || row.prompt_id === view.prompt) &&
      (!view.correct || row.correct === (view.correct === "yes")) &&
      row.text.toLowerCase().includes(view.text.toLowerCase()),
  );
  const by = { reward: "reward", length: "n_tokens", advantage: "advantage", step: "step" }[view.sort];
  // What is no number comes last, whichever way.
  const rank = (row) => (row[by] === null || Number.isNaN(+row[by]) ? Infinity : view.down ? -row[by] : +row[by]);
  if (by) rows.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
  const sum = (value) => rows.reduce((total, row) => total + value(row), 0);
  const correct = rows.length ? sum((row) => +row.correct) / rows.length : null;
  return { total: rows.length, tokens: sum((row) => row.n_tokens), correct, offset, rows: rows.slice(offset, offset + limit) };
}

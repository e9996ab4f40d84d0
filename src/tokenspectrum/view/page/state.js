// The whole view as one flat record, kept in the URL's fragment: a link shows what its sender saw.

const defaults = {
  run: "", seed: "", step_from: "", step_to: "", source: "", correct: "", reward_from: "", reward_to: "",
  length_from: "", length_to: "", text: "", prompt: "", sort: "logged", down: "",
  sel: "", cmp: "", diff: "", token: "", rows: "", layer: "",
  colour: "tokens.predictive_entropy", bar: "", spread: "", p: "0.2", marks: "anchors,explorers", by: "",
  x: "tokens.predictive_entropy", y: "", brush: "", theme: "", pane: "list",
};
const NUMBER = "-?\\d+(\\.\\d+)?(e[+-]?\\d+)?";
// What a link may hold of these; anything else counts as not given.
const FORMS = {
  theme: /^(light|dark)$/, pane: /^(list|read|values)$/, p: /^(0?\.\d+|1|0)$/, token: /^\d{1,9}$/, rows: /^\d{1,9}$/,
  brush: new RegExp(`^(${NUMBER})?\\.\\.(${NUMBER})?,(${NUMBER})?\\.\\.(${NUMBER})?$`),
};
export const FILTERS = ["run", "seed", "step_from", "step_to", "source", "correct", "reward_from", "reward_to",
  "length_from", "length_to", "text", "prompt"];

const listeners = [];
let current = read();

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const known = (name) => given.has(name) && (!FORMS[name] || FORMS[name].test(given.get(name)));
  return Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, known(name) ? given.get(name) : value]));
}

export const state = () => current;

export function listen(listener) {
  listeners.push(listener);
}

// Changes some of the view.  Listeners get the new view and the names of what changed.
export function change(patch) {
  const next = { ...current };
  for (const [name, value] of Object.entries(patch)) next[name] = String(value ?? "");
  const changed = Object.keys(next).filter((name) => next[name] !== current[name]);
  if (!changed.length) return;
  current = next;
  const shown = new URLSearchParams();
  for (const [name, value] of Object.entries(next)) if (value !== defaults[name]) shown.set(name, value);
  history.replaceState(null, "", `#${shown.toString().replaceAll("%2F", "/").replaceAll("%2C", ",")}`);
  for (const listener of listeners) listener(current, new Set(changed));
}

addEventListener("hashchange", () => {
  const next = read();
  const changed = Object.keys(next).filter((name) => next[name] !== current[name]);
  current = next;
  if (changed.length) for (const listener of listeners) listener(current, new Set(changed));
});

// A response by name: run/seed/step/response.  A run's name may hold anything but a slash at its end.
export const keyOf = (row) => `${row.run}/${row.seed}/${row.step}/${row.response_id}`;

export function readKey(key) {
  const parts = key.split("/");
  const [seed, step, response] = parts.slice(-3);
  return { run: parts.slice(0, -3).join("/"), seed, step, response };
}

export const shortKey = (key) => {
  const { run, seed, step, response } = readKey(key);
  return `${run} · seed ${seed} · step ${step} · #${response}`;
};

// The strip: a response's tokens as text, one element a token, painted by a column.  Knows nothing of where values come from.

import { canSpread, css, ink, place, rampAt, rampOf, rankPlace } from "./colour.js";
import { h } from "./dom.js";
import { readable } from "./text.js";

const BAR = 10; // pixels of the tallest bar

// The elements of all tokens, in order.  Line breaks of the text stand between them.
export function buildStrip(response, label) {
  const shown = readable(response.texts);
  const tokens = shown.map(({ pieces, note }, i) =>
    h("span", { class: "tok", data: { i }, title: note || null },
      pieces.map(([text, kind]) => (kind ? h("i", { class: kind }, text) : document.createTextNode(text)))));
  const strip = h("div", { class: "strip", tabindex: 0, role: "group", "aria-label": label });
  tokens.forEach((token, i) => {
    if (response.rows.has(i)) token.classList.add("has-row");
    strip.append(token);
    for (let n = 0; n < shown[i].breaks; n += 1) strip.append(h("br"));
  });
  return { strip, tokens };
}

// Background by value, or by its rank among all tokens; a token without a value is hatched.
export function paint(tokens, values, scale, ramp = scale && rampOf(scale), spread = false) {
  const at = spread && scale && canSpread(scale) ? rankPlace : place;
  tokens.forEach((token, i) => {
    const value = values ? values[i] : Number.NaN;
    const missing = !scale || Number.isNaN(value);
    token.classList.toggle("no-value", missing && Boolean(values && scale));
    if (missing) {
      token.style.backgroundColor = token.style.color = "";
      return;
    }
    const rgb = rampAt(ramp, at(scale, value));
    token.style.backgroundColor = css(rgb);
    token.style.color = ink(rgb);
  });
}

// The second column as a bar below each token.
export function drawBars(strip, tokens, values, scale) {
  const shown = Boolean(values && scale);
  strip.classList.toggle("bars", shown);
  tokens.forEach((token, i) => {
    const share = shown && !Number.isNaN(values[i]) ? Math.min(1, Math.max(0, place(scale, values[i]))) : 0;
    token.style.setProperty("--bar", `${Math.round(share * BAR * 10) / 10}px`);
  });
}

// What each strip shows now, by class: a long response has thousands of tokens, and few change at a time.
const shownNow = new WeakMap();

function showSet(tokens, name, wanted) {
  if (!shownNow.has(tokens)) shownNow.set(tokens, {});
  const now = shownNow.get(tokens);
  for (const i of now[name] ?? []) if (!wanted.has(i)) tokens[i].classList.remove(name);
  for (const i of wanted) if (!now[name]?.has(i)) tokens[i].classList.add(name);
  now[name] = wanted;
}

// Outlines of partitions: a class for each set that is shown.
export function outline(tokens, sets, marks) {
  for (const name of ["anchors", "explorers", "forks"]) showSet(tokens, name, marks.has(name) ? sets[name] : new Set());
}

// Tokens outside of the brush step back.
export function dim(tokens, isIn) {
  tokens.forEach((token, i) => token.classList.toggle("outside", isIn !== null && !isIn(i)));
}

export function setCurrent(tokens, position, name = "current") {
  showSet(tokens, name, new Set(position >= 0 && position < tokens.length ? [position] : []));
}

export function tokenAt(event) {
  const token = event.target.closest?.(".tok");
  return token?.dataset.i === undefined ? null : Number(token.dataset.i);
}

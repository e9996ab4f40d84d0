// Where one token looked: its attention row painted on the prompt and on the response.

import { askAttention } from "./api.js";
import { css, ink, rampAt } from "./colour.js";
import { unpack } from "./decode.js";
import { h, number } from "./dom.js";
import { readable } from "./text.js";

// {layer: Float32Array}, the prompt's length and its tokens' texts (null where they cannot be told).
export async function fetchRows(key, position) {
  const body = await askAttention(key, position);
  const layers = Object.fromEntries(Object.entries(body.layers).map(([layer, text]) => [layer, unpack(text, Float32Array)]));
  return { ...body, layers };
}

// From 0 to the largest share; the square root spreads the small ones, and the legend says so.
export function rowScale(row) {
  return { low: 0, high: row.reduce((most, share) => Math.max(most, share), 0) || 1, centre: null };
}

export const shade = (scale, share) => Math.sqrt(share / scale.high);

function colourToken(token, scale, share) {
  const rgb = rampAt("attention", shade(scale, share));
  token.style.backgroundColor = css(rgb);
  token.style.color = ink(rgb);
  token.title = `attention ${number(share)}`;
}

// The prompt's tokens with their share of the row, and the sum over the whole prompt.
export function promptStrip(rows, row, scale) {
  const { n_prompt: n, prompt } = rows;
  const shown = prompt ? readable(prompt) : Array.from({ length: n }, (_, i) => ({ pieces: [[String(i), "bytes"]], breaks: 0 }));
  const strip = h("div", { class: "strip prompt-strip", role: "group", "aria-label": "attention to the prompt" });
  shown.forEach(({ pieces, breaks }, i) => {
    const token = h("span", { class: "tok", data: { prompt: i } },
      pieces.map(([text, kind]) => (kind ? h("i", { class: kind }, text) : document.createTextNode(text))));
    colourToken(token, scale, row[i]);
    strip.append(token);
    for (let k = 0; k < breaks; k += 1) strip.append(h("br"));
  });
  return strip;
}

// The response's own tokens; those that the query did not see step back.
export function paintRow(tokens, rows, row, scale) {
  tokens.forEach((token, i) => {
    const at = rows.n_prompt + i;
    token.classList.toggle("unseen", at >= row.length);
    token.classList.remove("no-value");
    if (at < row.length) colourToken(token, scale, row[at]);
    else token.style.backgroundColor = token.style.color = "";
  });
}

export const promptShare = (rows, row) => row.slice(0, rows.n_prompt).reduce((sum, share) => sum + share, 0);

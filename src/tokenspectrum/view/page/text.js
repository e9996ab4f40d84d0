// How a token reads: blanks and breaks can be seen, signs that would hide or turn the text are named, and bytes of one
// character are joined.

const BYTES = /^(?:<0x[0-9A-F]{2}>)+$/;
// Also fillers and variation selectors, which are letters and marks by class, and the empty Braille cell.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800]/u;
const PICTURE = /^\p{Extended_Pictographic}$/u;

const nameOf = (sign) => `⟨${sign.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

// Pieces of a token: [text, kind], kind "" for text as it is, "blank" for marks of ours.
export function pieces(text) {
  const out = [];
  const add = (piece, kind) => {
    const last = out[out.length - 1];
    if (last && last[1] === kind) last[0] += piece;
    else out.push([piece, kind]);
  };
  const signs = [...text];
  signs.forEach((sign, i) => {
    if (sign === " ") add("·", "blank");
    else if (sign === "\n") add("⏎", "blank");
    else if (sign === "\t") add("⇥", "blank");
    else if (sign === "\r") add("␍", "blank");
    else if (joins(signs, i)) add(sign, "");
    else if (HIDDEN.test(sign)) add(nameOf(sign), "blank");
    else if (/\p{Zs}/u.test(sign)) add("◦", "blank");
    else if (i === 0 && /\p{M}/u.test(sign)) add(`◌${sign}`, ""); // a mark without a letter to sit on
    else add(sign, "");
  });
  return out;
}

// Within one picture, such as a family emoji: a joiner between two, and the selector of colour on one or on a keycap.
function joins(signs, i) {
  const isPicture = (at) => PICTURE.test(signs[at] ?? "");
  if (signs[i] === "\ufe0f") return isPicture(i - 1) || (/^[0-9#*]$/.test(signs[i - 1] ?? "") && signs[i + 1] === "\u20e3");
  if (signs[i] !== "\u200d" || !isPicture(i + 1)) return false;
  return isPicture(i - 1) || (/^[\ufe0f\u{1f3fb}-\u{1f3ff}]$/u.test(signs[i - 1] ?? "") && isPicture(i - 2));
}

// For each token: the pieces to show, whether a line ends after it, and a note where its bytes are part of a character.
export function readable(texts) {
  const shown = texts.map((text) => ({ pieces: pieces(text), breaks: breaksAfter(text), note: "" }));
  for (let start = 0; start < texts.length; ) {
    if (!BYTES.test(texts[start])) {
      start += 1;
      continue;
    }
    let end = start;
    while (end < texts.length && BYTES.test(texts[end])) end += 1;
    joinBytes(texts.slice(start, end), shown.slice(start, end));
    start = end;
  }
  return shown;
}

const breaksAfter = (text) => (text.match(/\n/g) ?? []).length;

function joinBytes(texts, shown) {
  const bytes = texts.map((text) => Array.from(text.matchAll(/0x(..)/g), (m) => Number.parseInt(m[1], 16)));
  const all = bytes.flat();
  const ends = []; // of each byte: the character that it completes; null if it goes on, undefined if it is no UTF-8
  for (let i = 0; i < all.length; ) {
    const length = all[i] < 0x80 ? 1 : all[i] >= 0xf0 ? 4 : all[i] >= 0xe0 ? 3 : all[i] >= 0xc2 ? 2 : 0;
    const character = length ? decoded(all.slice(i, i + length), length) : undefined;
    const n = character === undefined ? 1 : length;
    for (let j = 0; j < n; j += 1) {
      ends[i + j] = character === undefined ? undefined : j === n - 1 ? character : null;
    }
    i += n;
  }
  let at = 0;
  bytes.forEach((own, k) => {
    const mine = ends.slice(at, at + own.length);
    const hex = own.map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
    const whole = mine.filter((end) => typeof end === "string").join("");
    const next = ends.slice(at).find((end) => typeof end === "string");
    at += own.length;
    shown[k].pieces = [[hex, "bytes"], ...(whole ? pieces(whole) : [])];
    shown[k].breaks = breaksAfter(whole);
    if (mine.some((end) => end === undefined)) shown[k].note = `bytes ${hex}, no character`;
    else if (whole) shown[k].note = `bytes ${hex}, the end of ${whole}`;
    else shown[k].note = `bytes ${hex}, part of ${next ?? "a character"}`;
  });
}

function decoded(bytes, length) {
  if (bytes.length < length) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch {
    return undefined;
  }
}

// A whole text on one line, for lists.
export const oneLine = (text) => pieces(text).map(([piece, kind]) => (kind && piece === "·" ? " " : piece)).join("");

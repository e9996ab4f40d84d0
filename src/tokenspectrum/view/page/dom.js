// Making elements.  Text goes in as text nodes alone: nothing that a table holds is ever read as HTML.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

// The same behind the reader's back: what has the focus there keeps it, by its id.
export function refill(element, ...children) {
  const id = element.contains(document.activeElement) ? document.activeElement.id : "";
  fill(element, ...children);
  if (id) byId(id)?.focus({ preventScroll: true });
}

// Numbers as a table of values wants them: short, and the same width for like values.
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (typeof value === "string" || Math.abs(value) === Infinity) return String(value).replace("-", "−").replace("Infinity", "∞");
  if (Number.isInteger(value)) return value.toLocaleString("en").replace("-", "−");
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(2).replaceAll("-", "−");
  return value.toPrecision(4).replace("-", "−");
}

// For the ends of a scale: two digits.
export const brief = (value) => String(Number(value.toPrecision(2))).replaceAll("-", "−");

export const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

// "attention.entropy_norm.1" as words, short enough for a menu.
export function columnLabel(column) {
  const words = column.field.replaceAll("_", " ");
  if (column.table === "attention") return `${words}, layer ${column.part}`;
  if (column.table === "weights") return `${words} of ${column.part}`;
  if (column.table === "token_gradients") return `gradient ${words}`;
  return words;
}

export function columnGroup(column) {
  if (column.table === "attention") return `Attention, layer ${column.part}`;
  if (column.table === "weights") return `Rule ${column.part}`;
  return column.table === "token_gradients" ? "Gradient" : "Policy";
}

// A response as the server sends it, with its numbers unpacked: float32 and int32 are little-endian in base64.

export function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return new Kind(bytes.buffer);
}

export function decodeResponse(key, body) {
  const ids = unpack(body.ids, Int32Array);
  const values = {};
  for (const [name, text] of Object.entries(body.values)) values[name] = unpack(text, Float32Array);
  const rows = new Map(Object.entries(body.rows).map(([position, layers]) => [Number(position), layers]));
  return {
    ...body, key, ids, values, rows,
    texts: Array.from(ids, (id) => body.texts[id]),
    types: Array.from(ids, (id) => body.types[id]),
  };
}

// The host's tables as unit tests see them: what the test has set.

/** The tables, by name; `undefined`: attached, and not loaded yet. */
export const tables = new Map();

export function get(table, key) {
  return entries(table).get(key);
}

export function keys(table, prefix, limit) {
  return [...entries(table).keys()].filter((key) => key.startsWith(prefix)).sort().slice(0, limit);
}

export function version(table) {
  return `test-${entries(table).size}`;
}

function entries(table) {
  if (!tables.has(table)) throw 'not-granted';
  const found = tables.get(table);
  if (found === undefined) throw 'not-ready';
  return found;
}

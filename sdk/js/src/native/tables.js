// The host's tables as unit tests see them: what the test has set.

/** The tables, by name; `undefined`: attached, and not loaded yet. */
export const tables = new Map();
/** Most keys that one call returns. */
const MAX_KEYS = 4096;

export function get(table, key) {
  return entries(table).get(key);
}

/** It throws where a host ends the decision. */
export function keys(table, prefix, limit) {
  const found = [...entries(table).keys()].filter((key) => key.startsWith(prefix)).sort().slice(0, limit);
  if (found.length > MAX_KEYS) {
    throw new Error(`more than ${MAX_KEYS} keys of ${table} are asked for: a host ends the decision`);
  }
  return found;
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

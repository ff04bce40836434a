// Tables that the operator attaches under names, for `decide` alone. A policy that does not use this module does not
// ask for tables: the build leaves the import out.

import { get, keys, version } from '#tables';

import { DataError } from './answer.js';

export { DataError };

function read(table, ask) {
  try {
    return ask();
  } catch (error) {
    const code = error?.payload ?? error;
    throw code === 'not-granted' || code === 'not-ready' ? new DataError(table, code) : error;
  }
}

// The contract has 32 bits for it: of `Infinity` and of 2 ** 32 they would be 0, and a table would seem to be empty.
function counted(limit) {
  if (!Number.isInteger(limit) || limit < 0 || limit > 0xffff_ffff) {
    throw new RangeError(`limit must be a whole number from 0 to 4294967295, not ${String(limit)}`);
  }
  return limit;
}

/** The tables. */
export const data = /* @__PURE__ */ Object.freeze({
  get: (table, key) => read(table, () => get(table, key)),
  keys: (table, prefix = '', limit = 1000) => read(table, () => keys(table, prefix, counted(limit))),
  version: (table) => read(table, () => version(table)),
});

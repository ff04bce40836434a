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

/** The tables. */
export const data = /* @__PURE__ */ Object.freeze({
  get: (table, key) => read(table, () => get(table, key)),
  keys: (table, prefix = '', limit = 1000) => read(table, () => keys(table, prefix, limit)),
  version: (table) => read(table, () => version(table)),
});

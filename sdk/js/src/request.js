// The way from the component's values to what a policy sees, and back.

import { DataError, Fault, LookUpError } from './answer.js';

/** Lists of pairs become maps; everything else stays as it is. */
export function requestOf({ caller, clusterId, now, current, trail }) {
  return {
    caller: { ...caller, attributes: new Map(caller.attributes) },
    clusterId,
    now,
    current: current && { ...current, extra: new Map(current.extra) },
    trail,
  };
}

/** What the policy returned, in the component's words. Anything else than a decision is a mistake that ends the login. */
export function decisionOf(said) {
  switch (said?.decision) {
    case 'abstain':
      return { tag: 'abstain' };
    case 'allow':
      return { tag: 'allow', val: mappingOf(said.mapping) };
    case 'deny':
      return { tag: 'deny', val: text(said.why, 'the reason') };
    default:
      throw new TypeError('decide must return abstain(), allow(…) or deny(…)');
  }
}

/** What the policy threw, in the component's words; `undefined` if it was neither a fault nor what the host refused. */
export function faultOf(error) {
  if (error instanceof DataError) {
    return { tag: error.code === 'not-ready' ? 'unavailable' : 'broken', val: error.message };
  }
  if (error instanceof LookUpError) {
    return { tag: error.code === 'not-granted' ? 'broken' : 'unavailable', val: error.message };
  }
  if (!(error instanceof Fault)) return undefined;
  return { tag: error.kind === 'unavailable' ? 'unavailable' : 'broken', val: error.message };
}

function mappingOf({ username, uid, groups, extra }) {
  const pairs = extra instanceof Map ? [...extra] : Object.entries(extra);
  return {
    username: text(username, 'username'),
    uid: uid === undefined || uid === null ? undefined : text(uid, 'uid'),
    groups: texts(groups, 'groups'),
    extra: pairs.map(([key, values]) => [text(key, 'extra'), texts(values, `extra.${key}`)]),
  };
}

// Without these checks `undefined` would become the name "undefined".
function text(value, what) {
  if (typeof value !== 'string') throw new TypeError(`${what} must be a string, not ${typeof value}`);
  return value;
}

function texts(values, what) {
  if (!Array.isArray(values)) throw new TypeError(`${what} must be an array of strings`);
  // Unlike `map`, this does not leave places out that nothing was put into.
  return Array.from(values, (value) => text(value, what));
}

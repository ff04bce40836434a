// Facts about the caller, looked up with the host's cloud credentials, for `decide` alone. A policy that does not use this
// module does not ask for them: the build leaves the import out.

import * as host from '#cloud';

import { LookUpError } from './answer.js';

export { LookUpError };

const CODES = ['forbidden', 'not-granted', 'unavailable'];

/** The facts. */
export const cloud = /* @__PURE__ */ Object.freeze({
  callerInstance() {
    const found = lookUp(host.callerInstance);
    if (found === undefined) return undefined;
    const { id, privateDnsName, privateIp, zone, imageId, tags } = found;
    return { id, privateDnsName, privateIp, zone, imageId, tags: new Map(tags) };
  },
  callerTags() {
    const found = lookUp(host.callerTags);
    return found && new Map(found);
  },
});

/** What `ask` gives; `undefined` if there is none. */
function lookUp(ask) {
  try {
    return ask();
  } catch (error) {
    const code = error?.payload ?? error;
    if (code === 'not-found') return undefined;
    throw CODES.includes(code) ? new LookUpError(code) : error;
  }
}

// What a policy answers: a decision about the caller, or the fault that kept it from one.

const ABSTAIN = Object.freeze({ decision: 'abstain' });

/** No opinion: the next stage is asked. */
export function abstain() {
  return ABSTAIN;
}

/** From here on the caller is this. */
export function allow({ username, uid, groups = [], extra = {} }) {
  return { decision: 'allow', mapping: { username, uid, groups, extra } };
}

/** Final: the login is refused. The text goes to the audit log, never to the caller. */
export function deny(why) {
  return { decision: 'deny', why };
}

/** Why a policy could not decide. Refuses the login; it never counts as `abstain`. Made with `new`, it is `broken`. */
export class Fault extends Error {
  name = 'Fault';
  kind = 'broken';
}

/** The policy or its settings are broken. The API server does not try again by itself. */
export function broken(why) {
  return new Fault(why);
}

/** Something outside the policy is missing or slow. The API server is told to try again. */
export function unavailable(why) {
  return Object.assign(new Fault(why), { kind: 'unavailable' });
}

const LOOK_UP = {
  forbidden: 'the host may not look that up about the caller',
  'not-granted': 'this policy is not granted to know that about the caller: see `cloud`',
  unavailable: 'that cannot be looked up about the caller now',
};

/**
 * Why something could not be looked up about the caller: `code` is `forbidden`, `not-granted` or `unavailable`. Not caught, it is the
 * fault that it is. It stands here, where nothing asks for facts.
 */
export class LookUpError extends Error {
  constructor(code) {
    super(LOOK_UP[code]);
    this.name = 'LookUpError';
    this.code = code;
  }
}

/**
 * Why a table could not be read: `code` is `not-granted` or `not-ready`. Not caught, it is the fault that it is. It stands
 * here, where nothing asks for tables.
 */
export class DataError extends Error {
  constructor(table, code) {
    super(`the table ${table} is ${code === 'not-ready' ? 'not loaded yet' : 'not attached to this policy'}`);
    this.name = 'DataError';
    this.code = code;
  }
}

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

/** Why a policy could not decide. Refuses the login; it never counts as `abstain`. */
export class Fault extends Error {
  constructor(kind, message) {
    super(message);
    this.name = 'Fault';
    this.kind = kind;
  }
}

/** The policy or its settings are broken. The API server does not try again by itself. */
export function broken(why) {
  return new Fault('broken', why);
}

/** Something outside the policy is missing or slow. The API server is told to try again. */
export function unavailable(why) {
  return new Fault('unavailable', why);
}

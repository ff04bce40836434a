// Names written with placeholders, filled in from the caller without letting the caller's own words become more than
// a part of a name. The rules are those of Herald's static mappings.

const VALUES = new Map([
  ['AccountID', (caller) => caller.accountId],
  ['PermissionSet', (caller) => caller.ssoPermissionSet],
  ['PrincipalID', (caller) => caller.principalId],
  ['RoleName', (caller) => (caller.kind === 'assumed-role' ? caller.name : undefined)],
  ['SessionName', (caller) => caller.sessionName?.replaceAll('@', '-')],
  ['SessionNameRaw', (caller) => caller.sessionName],
]);

/** Why a template cannot be filled in for this caller. */
export class Unfit extends Error {
  constructor(message) {
    super(message);
    this.name = 'Unfit';
  }
}

/** A username or group with `{{…}}` placeholders. */
export class Template {
  #parts = [];
  #fixed = true;

  constructor(text) {
    if (typeof text !== 'string' || text === '') throw new TypeError('a name must not be empty');
    let rest = text;
    for (let at = rest.indexOf('{{'); at >= 0; at = rest.indexOf('{{')) {
      const end = rest.indexOf('}}', at + 2);
      if (end < 0) throw new TypeError('a placeholder is not closed: {{ without }}');
      const name = rest.slice(at + 2, end);
      if (!VALUES.has(name)) {
        throw new TypeError(`unknown placeholder {{${name}}}, expected one of ${[...VALUES.keys()].join(' ')}`);
      }
      this.#parts.push(rest.slice(0, at), { name });
      this.#fixed = false;
      rest = rest.slice(end + 2);
    }
    this.#parts.push(rest);
    if (!this.#fixed && isReserved(text)) {
      throw new TypeError('a name under system: must be written out, without placeholders');
    }
  }

  /** The name for this caller. Throws `Unfit`: then deny, so that no other rule catches what this one was meant for. */
  render(caller) {
    const name = this.#parts.map((part) => (typeof part === 'string' ? part : valueOf(part.name, caller))).join('');
    if (!this.#fixed && isReserved(name)) throw new Unfit('the name would begin with system:');
    return name;
  }
}

function valueOf(name, caller) {
  const value = VALUES.get(name)(caller);
  if (!value) throw new Unfit(`the caller has no ${name}`);
  if (!/^[A-Za-z0-9+=,.@_-]+$/.test(value)) {
    throw new Unfit(`the caller's ${name} has a character outside letters, digits and +=,.@_-`);
  }
  return value;
}

// Kubernetes compares names by case, but people do not read them so.
function isReserved(name) {
  return name.slice(0, 7).toLowerCase() === 'system:';
}

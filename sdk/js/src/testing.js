// For a policy's own unit tests under `node --test`: callers made by hand, and what the policy logged.

import { found } from './native/cloud.js';
import { logged as lines } from './native/log.js';
import { tables } from './native/tables.js';

/** The moment of every request made here: 2026-01-01T00:00:00Z. */
export const NOW = 1767225600n;

/** Makes a policy from its settings, as the host does. */
export function configure(Policy, settings = {}) {
  return new Policy(JSON.parse(JSON.stringify(settings)));
}

/** The request of an AWS role session. Nobody has mapped the caller yet; every field may be changed. */
export function session(accountId, role, sessionName) {
  const request = user(accountId, role);
  Object.assign(request.caller, {
    kind: 'assumed-role',
    arn: `arn:aws:sts::${accountId}:assumed-role/${role}/${sessionName}`,
    canonicalArn: `arn:aws:iam::${accountId}:role/${role}`,
    principalId: 'AROAEXAMPLEEXAMPLE000',
    sessionName,
  });
  return request;
}

/** The request of an AWS IAM user. Nobody has mapped the caller yet; every field may be changed. */
export function user(accountId, name) {
  const arn = `arn:aws:iam::${accountId}:user/${name}`;
  return {
    caller: {
      provider: 'aws',
      partition: 'aws',
      accountId,
      kind: 'user',
      arn,
      canonicalArn: arn,
      name,
      principalId: 'AIDAEXAMPLEEXAMPLE000',
      sessionName: undefined,
      ssoPermissionSet: undefined,
      accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
      stsRegion: 'us-east-1',
      signedAt: NOW - 60n,
      expiresAt: NOW + 840n,
      attributes: new Map(),
    },
    clusterId: 'test.example.com',
    now: NOW,
    current: undefined,
    trail: [],
  };
}

/** What policies have logged since this was last asked, as level and text. */
export function logged() {
  return lines.splice(0);
}

/** Attaches a table, in place of one of that name. */
export function setTable(name, entries) {
  tables.set(name, new Map(Object.entries(entries)));
}

/** Attaches a table that is not loaded yet, in place of one of that name. */
export function setNotReady(name) {
  tables.set(name, undefined);
}

/** What `cloud.callerInstance` finds from now on: a machine of which this is known, none, or why it cannot be looked up. */
export function setInstance(instance) {
  const known = { id: '', privateDnsName: '', privateIp: '', zone: '', imageId: '', ...instance };
  found.instance = typeof instance === 'object' ? { ...known, tags: [...(known.tags ?? [])] } : (instance ?? 'not-found');
}

/** What `cloud.callerTags` finds from now on: tags, none, or why they cannot be looked up. */
export function setTags(tags) {
  found.tags = typeof tags === 'object' ? Object.entries(tags) : (tags ?? 'not-found');
}

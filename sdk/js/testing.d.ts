// For a policy's own unit tests under `node --test`.

import type { Caller, Instance, LookUpError, Policy, Request } from './index.js';

/** A request whose fields may be changed. */
export interface Draft extends Request {
  caller: { -readonly [Field in keyof Caller]: Caller[Field] };
}

/** The moment of every request made here: 2026-01-01T00:00:00Z. */
export const NOW: bigint;
/** Makes a policy from its settings, as the host does. */
export function configure<P extends Policy>(policy: new (settings: any) => P, settings?: unknown): P;
/** The request of an AWS role session. */
export function session(accountId: string, role: string, sessionName: string): Draft;
/** The request of an AWS IAM user. */
export function user(accountId: string, name: string): Draft;
/** What policies have logged since this was last asked, as level and text. */
export function logged(): [level: string, message: string][];
/** Attaches a table, in place of one of that name. */
export function setTable(name: string, entries: Record<string, string>): void;
/** Attaches a table that is not loaded yet, in place of one of that name. */
export function setNotReady(name: string): void;
/** What `cloud.callerInstance` finds from now on: a machine of which this is known, none, or why it cannot be looked up. */
export function setInstance(instance: Partial<Instance> | LookUpError['code'] | undefined): void;
/** What `cloud.callerTags` finds from now on: tags, none, or why they cannot be looked up. */
export function setTags(tags: Record<string, string> | LookUpError['code'] | undefined): void;

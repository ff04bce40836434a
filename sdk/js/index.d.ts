// What a policy is asked and what it answers. The contract itself is `wit/` of Herald's repository.

/** What kind of principal the cloud says the caller is. */
export type PrincipalKind = 'root' | 'user' | 'assumed-role' | 'federated-user' | 'other';

/**
 * A caller whose token the cloud has verified. All but the session's name and a federated user's, which also end `arn`, are the cloud's
 * own words.
 */
export interface Caller {
  /** `aws` or `alibaba`. Abstain or deny when it is a name you do not know. */
  readonly provider: string;
  /** `aws`, `aws-cn`, `aws-us-gov`, … for AWS; `acs` for Alibaba Cloud. */
  readonly partition: string;
  /** 12 digits (AWS) or 16 (Alibaba Cloud). Callers of every account arrive verified: look here first. */
  readonly accountId: string;
  readonly kind: PrincipalKind;
  /** Exactly as the cloud returned it. */
  readonly arn: string;
  /** The ARN that mappings name: a session becomes the role behind it. */
  readonly canonicalArn: string;
  /** User or role name without its path; empty for `root`, and chosen by the caller for a `federated-user`. */
  readonly name: string;
  /** The principal's stable unique id; of a `federated-user` its account and name. */
  readonly principalId: string;
  /** The role session's name, chosen by the caller. */
  readonly sessionName?: string;
  /** The AWS IAM Identity Center permission set that made the role. */
  readonly ssoPermissionSet?: string;
  /** The key that signed the token. */
  readonly accessKeyId: string;
  /** Region of the STS endpoint that vouched; empty for a global one. */
  readonly stsRegion: string;
  /** When the token was signed, in seconds since 1970-01-01T00:00:00Z. */
  readonly signedAt: bigint;
  /** When the token stops being valid, in seconds since 1970-01-01T00:00:00Z. */
  readonly expiresAt: bigint;
  /** Facts that only some providers have. Ignore names that you do not know. */
  readonly attributes: ReadonlyMap<string, string>;
}

/** A Kubernetes identity as the stages before this policy left it. */
export interface Mapping {
  readonly username: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: ReadonlyMap<string, readonly string[]>;
}

/** One question: who is this caller in the cluster? */
export interface Request {
  readonly caller: Caller;
  /** This cluster's id, the one the token was signed for. */
  readonly clusterId: string;
  /** The only clock there is: seconds since 1970-01-01T00:00:00Z. */
  readonly now: bigint;
  /** `undefined` if nobody has mapped the caller yet. */
  readonly current?: Mapping;
  /** Names of the stages that made or changed `current`, oldest first. */
  readonly trail: readonly string[];
}

/** What `allow` takes. */
export interface Answer {
  /** Never empty. Under `system:` only if the operator's ceiling names it. */
  username: string;
  /** Default: the host's own uid for the caller. */
  uid?: string;
  /** In order. Default none. */
  groups?: readonly string[];
  /** Extra keys with their values; the host's own keys are refused. Default none. */
  extra?: Readonly<Record<string, readonly string[]>> | ReadonlyMap<string, readonly string[]>;
}

/** A decision, made by `abstain`, `allow` or `deny`. */
export interface Decision {
  readonly decision: 'abstain' | 'allow' | 'deny';
}

/** What the module of a policy exports as its default: a class with this shape. */
export interface Policy {
  /** Answers one request. A `Fault` that it throws refuses the login, and so does every other error. */
  decide(request: Request): Decision;
}

/** No opinion: the next stage is asked. */
export function abstain(): Decision;
/** From here on the caller is this. */
export function allow(answer: Answer): Decision;
/** Final: the login is refused. The text goes to the audit log, never to the caller. */
export function deny(why: string): Decision;

/** Why a policy could not decide: throw it. Refuses the login; it never counts as `abstain`. Made with `new`, it is `broken`. */
export class Fault extends Error {
  readonly kind: 'broken' | 'unavailable';
}
/** The policy or its settings are broken. The API server does not try again by itself. */
export function broken(why: string): Fault;
/** Something outside the policy is missing or slow. The API server is told to try again. */
export function unavailable(why: string): Fault;

/** Lines for the audit record of this login. */
export const log: Readonly<Record<'debug' | 'info' | 'warn' | 'error', (message: string) => void>>;

/** Tables that the operator attaches under names, for `decide` alone. */
export const data: {
  /** The value of one key; `undefined` if it is not there. */
  get(table: string, key: string): string | undefined;
  /**
   * The keys that start with `prefix`, sorted, at most `limit` of them (default 1000). One call gives 4096 at most: a larger
   * `limit` where there are more keys than that ends the decision as a fault, so that nobody takes a part of a list for all of it.
   * So does a `limit` that is no whole number from 0 to 4294967295, as `Infinity` is none.
   */
  keys(table: string, prefix?: string, limit?: number): string[];
  /** Digest of the table's content. */
  version(table: string): string;
};

/** Why a table could not be read. Not caught, it is the fault that it is: `not-ready` is unavailable, `not-granted` broken. */
export class DataError extends Error {
  readonly code: 'not-granted' | 'not-ready';
}

/** A virtual machine. */
export interface Instance {
  /** `i-…`. */
  readonly id: string;
  /** Empty if it has none. */
  readonly privateDnsName: string;
  /** Its primary private address. */
  readonly privateIp: string;
  /** The zone it runs in. */
  readonly zone: string;
  /** The image it was started from. */
  readonly imageId: string;
  readonly tags: ReadonlyMap<string, string>;
}

/** Facts about the caller, looked up with the host's cloud credentials, for `decide` alone, where the operator grants them. */
export const cloud: {
  /** The machine that the caller's session name stands for, of the caller's own account; `undefined` if he is no machine. */
  callerInstance(): Instance | undefined;
  /**
   * The tags of the role or user behind the caller; `undefined` if he is neither, or it is not there any more. Those of his session are
   * not among them.
   */
  callerTags(): ReadonlyMap<string, string> | undefined;
};

/**
 * Why something could not be looked up about the caller. Not caught, it is the fault that it is: `not-granted` is broken, the others are
 * unavailable.
 */
export class LookUpError extends Error {
  readonly code: 'forbidden' | 'not-granted' | 'unavailable';
}

/** A pattern for a whole string: `*` is any run of characters, `?` any one character. */
export class Glob {
  /** Throws a `TypeError` if `text` is empty. */
  constructor(text: string);
  matches(text: string): boolean;
}

/**
 * A username or group with `{{AccountID}}`, `{{PermissionSet}}`, `{{PrincipalID}}`, `{{RoleName}}`, `{{SessionName}}`
 * (each `@` written as `-`) or `{{SessionNameRaw}}`. A value goes in only if it consists of letters, digits and
 * `+=,.@_-`, and what comes out never begins with `system:` unless the operator wrote the whole name.
 */
export class Template {
  /** Throws a `TypeError` that says what is wrong with `text`. */
  constructor(text: string);
  /** Throws `Unfit` if a value is missing or is not made of a name's characters. */
  render(caller: Caller): string;
}

/** Why a template cannot be filled in. Deny on it: no other rule must catch what this one was meant for. */
export class Unfit extends Error {}

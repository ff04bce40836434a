// The policy beside this one in Rust, in TypeScript.

import { abstain, allow, broken, cloud, data, DataError, deny, Glob, log, Template, unavailable, Unfit } from 'herald-policy';
import type { Answer, Decision, Request } from 'herald-policy';

export default class Conformance {
  readonly account: string;
  readonly prefix: string;
  readonly templates = new Glob('template*');
  readonly template = new Template('{{AccountID}}:{{RoleName}}:{{SessionName}}');

  constructor(settings: { account: string; prefix?: string }) {
    if (!/^[0-9]{12}$/.test(settings.account)) throw new Error(`account must be 12 digits ≠ “${settings.account}”`);
    this.account = settings.account;
    this.prefix = settings.prefix ?? 'default:';
  }

  decide(request: Request): Decision {
    const { caller, current } = request;
    if (caller.accountId !== this.account) return abstain();
    const word = caller.sessionName ?? caller.name;
    if (word.startsWith('many-')) {
      const groups = Array.from({ length: Number(word.slice('many-'.length)) }, (_, number) => this.name(number));
      return allow({ username: this.name('many'), groups });
    }
    if (this.templates.matches(word)) {
      try {
        return allow({ username: this.template.render(caller) });
      } catch (error) {
        if (error instanceof Unfit) return deny(error.message);
        throw error;
      }
    }
    if (word.startsWith('table-')) return this.lookUp(word.slice('table-'.length));
    switch (word) {
      case 'broken':
        throw broken('broken ≠');
      case 'crash':
        throw new RangeError('crash, as asked');
      case 'deny':
        return deny('denied: ≠ 許可 😀');
      case 'full':
        return allow(this.full());
      case 'instance':
        return this.instance();
      case 'keep':
        return current ? allow({ ...current, groups: [...current.groups, this.name('kept')] }) : abstain();
      case 'later':
        data.get('later', 'a');
        return abstain();
      case 'log':
        log.debug('debug é');
        log.info('info 許可');
        log.warn('warn 😀');
        log.error('error !');
        return abstain();
      case 'missing':
        return this.missing();
      case 'tags':
        return this.tags();
      case 'tell':
        return allow(this.tell(request));
      case 'ungranted':
        data.keys('other');
        return abstain();
      case 'unavailable':
        throw unavailable('unavailable ≠');
      default:
        return abstain();
    }
  }

  name(name: string | number): string {
    return `${this.prefix}${name}`;
  }

  full(): Answer {
    return {
      username: this.name('full'),
      uid: 'uid-ü',
      groups: ['équipe', '日本', '😀'].map((group) => this.name(group)),
      extra: { 'test/two': ['1', '2'], 'test/none': [], 'test/ü': ['é'] },
    };
  }

  instance(): Decision {
    const instance = cloud.callerInstance();
    if (instance === undefined) return deny('no machine');
    const { id, privateDnsName, privateIp, zone, imageId, tags } = instance;
    return allow({
      username: this.name(privateDnsName),
      groups: [id, privateIp, zone, imageId].map((fact) => this.name(fact)),
      extra: new Map([...tags].map(([key, value]) => [key, [value]])),
    });
  }

  tags(): Decision {
    const tags = cloud.callerTags();
    if (tags === undefined) return deny('no role or user');
    return allow({ username: this.name('tags'), extra: new Map([...tags].map(([key, value]) => [key, [value]])) });
  }

  lookUp(key: string): Decision {
    const like = data.keys('rota', key, 2);
    if (data.version('rota') === '') throw broken('no version');
    const value = data.get('rota', key);
    if (value === undefined) return deny(`no such key; ${like.length} like it: ${like.join(', ')}`);
    return allow({ username: this.name(value), groups: like.map((key) => this.name(key)) });
  }

  missing(): Decision {
    const asked = { get: () => data.get('other', 'a'), keys: () => data.keys('other'), version: () => data.version('other') };
    const refused = Object.entries(asked).filter(([, ask]) => {
      try {
        ask();
        return false;
      } catch (error) {
        return error instanceof DataError && error.code === 'not-granted';
      }
    });
    return deny(`not attached: ${refused.map(([name]) => name).join(', ')}`);
  }

  tell({ caller, clusterId, now, current, trail }: Request): Answer {
    const some = (value: string | undefined) => (value === undefined ? [] : [value]);
    return {
      username: this.name('tell'),
      extra: {
        provider: [caller.provider],
        partition: [caller.partition],
        accountId: [caller.accountId],
        kind: [caller.kind],
        arn: [caller.arn],
        canonicalArn: [caller.canonicalArn],
        name: [caller.name],
        principalId: [caller.principalId],
        sessionName: some(caller.sessionName),
        ssoPermissionSet: some(caller.ssoPermissionSet),
        accessKeyId: [caller.accessKeyId],
        stsRegion: [caller.stsRegion],
        signedAt: [`${caller.signedAt}`],
        expiresAt: [`${caller.expiresAt}`],
        attributes: [...caller.attributes].map(([key, value]) => `${key}=${value}`),
        clusterId: [clusterId],
        now: [`${now}`],
        currentUsername: some(current?.username),
        currentUid: some(current?.uid),
        currentGroups: current?.groups ?? [],
        currentExtra: [...(current?.extra ?? [])].map(([key, values]) => `${key}=${values.join(',')}`),
        trail,
      },
    };
  }
}

// The package natively: what a policy's own unit tests rely on.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import {
  abstain, allow, broken, cloud, data, DataError, deny, Fault, Glob, log, LookUpError, Template, unavailable,
} from 'herald-policy';
import { configure, logged, session, setInstance, setNotReady, setTable, setTags, user } from 'herald-policy/testing';

import { keep } from '../src/kept.js';
import { decisionOf, faultOf, requestOf } from '../src/request.js';

test('values go into templates, and callers cannot write a prefix', () => {
  const rows = [
    ['{{SessionName}}', 'alice@example.com', 'alice-example.com'],
    ['{{SessionNameRaw}}', 'alice@example.com', 'alice@example.com'],
    ['a:{{AccountID}}:{{RoleName}}:{{SessionNameRaw}}!', 'bob', 'a:111122223333:Dev:bob!'],
    ['{{PrincipalID}}', 'bob', 'AROAEXAMPLEEXAMPLE000'],
    ['plain {text}', 'bob', 'plain {text}'],
    ['system:masters', 'bob', 'system:masters'],
    ['{{PermissionSet}}', 'bob', /^the caller has no PermissionSet$/],
    ['{{SessionName}}', '', /^the caller has no SessionName$/],
    ['{{SessionName}}', 'a:b', /^the caller's SessionName has a character outside letters, digits and \+=,\.@_-$/],
    ['{{SessionName}}', 'ålice', /character outside/],
    ['{{SessionName}}', 'a\nb', /character outside/],
    ['{{SessionName}}', 'ab\n', /character outside/],
    ['{{SessionNameRaw}}', '{{AccountID}}', /character outside/],
    ['{{SessionName}}:masters', 'System', /^the name would begin with system:$/],
    ['sys{{SessionName}}:masters', 'tem', /^the name would begin with system:$/],
  ];
  for (const [text, name, expected] of rows) {
    const render = () => new Template(text).render(session('111122223333', 'Dev', name).caller);
    if (typeof expected === 'string') assert.equal(render(), expected);
    else assert.throws(render, { name: 'Unfit', message: expected }, `${text} of ${name}`);
  }
  assert.throws(() => new Template('{{RoleName}}').render(user('111122223333', 'a').caller), /no RoleName/);
});

test('operators are told what is no template', () => {
  const rows = [
    ['', 'a name must not be empty'],
    [undefined, 'a name must not be empty'],
    ['{{SessionName', 'a placeholder is not closed: {{ without }}'],
    ['system:{{SessionName}}', 'a name under system: must be written out, without placeholders'],
    [
      '{{Sessionname}}',
      'unknown placeholder {{Sessionname}}, expected one of AccountID PermissionSet PrincipalID RoleName SessionName SessionNameRaw',
    ],
  ];
  for (const [text, message] of rows) assert.throws(() => new Template(text), { message });
});

test('patterns cover the whole text', () => {
  const rows = [
    ['team-*', 'team-payments', true],
    ['team-*', 'my-team-payments', false],
    ['*a*b', 'xaxaxb', true],
    ['*a*b', 'xaxax', false],
    ['a?c', 'a😀c', true],
    ['a?c', 'ac', false],
    ['**', '', true],
    ['a', 'A', false],
  ];
  for (const [pattern, text, matches] of rows) assert.equal(new Glob(pattern).matches(text), matches, `${pattern} ${text}`);
  assert.throws(() => new Glob(''), { message: 'a pattern must not be empty' });
});

test('an answer has the shape of the contract, or is a mistake', () => {
  assert.deepEqual(decisionOf(abstain()), { tag: 'abstain' });
  assert.deepEqual(decisionOf(deny('no')), { tag: 'deny', val: 'no' });
  const full = { username: 'a', uid: null, groups: ['g'], extra: new Map([['k', ['v']]]) };
  const val = { username: 'a', uid: undefined, groups: ['g'], extra: [['k', ['v']]] };
  assert.deepEqual(decisionOf(allow(full)), { tag: 'allow', val });
  for (const bad of [undefined, null, 'allow', {}, allow({}), allow({ username: 'a', groups: 'b' }), deny(undefined)]) {
    assert.throws(() => decisionOf(bad), TypeError, JSON.stringify(bad));
  }
  const sparse = [];
  sparse[1] = 'b';
  for (const groups of [[undefined], sparse]) {
    assert.throws(() => decisionOf(allow({ username: 'a', groups })), /groups must be a string/);
  }
});

test('faults are told from mistakes', () => {
  assert.deepEqual(faultOf(unavailable('later')), { tag: 'unavailable', val: 'later' });
  assert.deepEqual(faultOf(broken('bad')), { tag: 'broken', val: 'bad' });
  class Missing extends Fault {}
  for (const made of [new Fault('bad'), new Fault('bad', { cause: 7 }), new Missing('bad')]) {
    assert.deepEqual(faultOf(made), { tag: 'broken', val: 'bad' });
  }
  setNotReady('later');
  const thrown = (ask) => {
    try {
      return ask();
    } catch (error) {
      return error;
    }
  };
  const notReady = { tag: 'unavailable', val: 'the table later is not loaded yet' };
  assert.deepEqual(faultOf(thrown(() => data.get('later', 'a'))), notReady);
  const notGranted = { tag: 'broken', val: 'the table other is not attached to this policy' };
  assert.deepEqual(faultOf(thrown(() => data.keys('other'))), notGranted);
  assert.equal(faultOf(new Error('mistake')), undefined);
  assert.equal(faultOf(undefined), undefined);
});

test('a request has maps where the contract has lists of pairs', () => {
  const { caller, ...rest } = session('111122223333', 'Dev', 'ann');
  const current = { username: 'a', uid: undefined, groups: [], extra: [['k', ['v']]] };
  const request = requestOf({ ...rest, caller: { ...caller, attributes: [['a', '1']] }, current });
  assert.equal(request.caller.attributes.get('a'), '1');
  assert.deepEqual(request.current.extra.get('k'), ['v']);
  assert.equal(requestOf({ ...rest, caller: { ...caller, attributes: [] } }).current, undefined);
});

test('tests see what is logged, and set tables', () => {
  log.warn('odd');
  assert.deepEqual(logged(), [['warn', 'odd']]);
  assert.deepEqual(logged(), []);
  setTable('rota', { b: '2', a: '1', c: '3' });
  assert.equal(data.get('rota', 'a'), '1');
  assert.equal(data.get('rota', 'z'), undefined);
  assert.deepEqual(data.keys('rota', '', 2), ['a', 'b']);
  assert.throws(() => data.get('other', 'a'), (error) => error instanceof DataError && error.code === 'not-granted');
});

test('a list of keys is whole, or as long as asked for', () => {
  const large = (count) => Object.fromEntries(Array.from({ length: count }, (_, key) => [`k${key}`, '']));
  setTable('large', large(4096));
  assert.equal(data.keys('large', 'k', 100_000).length, 4096);
  assert.equal(data.keys('large').length, 1000);
  setTable('large', large(4097));
  assert.equal(data.keys('large', '', 4096).length, 4096);
  assert.throws(() => data.keys('large', '', 4097), /more than 4096 keys of large are asked for/);
});

test('a limit that the contract has no number for is a mistake, and no empty list', () => {
  setTable('rota', { a: '1' });
  for (const limit of [Infinity, 2 ** 32, -1, 1.5, NaN, null, '1', 1n]) {
    assert.throws(() => data.keys('rota', '', limit), { name: 'RangeError', message: /^limit must be a whole number/ });
  }
  assert.deepEqual([data.keys('rota', '', 2 ** 32 - 1), data.keys('rota', '', 0)], [['a'], []]);
});

test('a component is kept whole or not at all', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'herald-policy-'));
  try {
    const cache = join(folder, 'made');
    await keep(cache, 'first.wasm', 'one');
    assert.deepEqual(await readdir(cache), ['first.wasm']);
    async function* interrupted() {
      yield 'half of ';
      throw new Error('the disk is full');
    }
    await assert.rejects(keep(cache, 'second.wasm', interrupted()), /the disk is full/);
    assert.ok(!(await readdir(cache)).includes('second.wasm'));
    await keep(cache, 'second.wasm', 'two');
    assert.deepEqual(await readdir(cache), ['second.wasm']);
    assert.equal(await readFile(join(cache, 'second.wasm'), 'utf8'), 'two');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('settings come as they would from JSON', () => {
  class Policy {
    constructor(settings) {
      this.settings = settings;
    }
  }
  assert.deepEqual(configure(Policy, { a: undefined, b: [1] }).settings, { b: [1] });
});

test('tests say which machine the caller is, and what cannot be looked up is a fault', () => {
  const thrown = () => {
    try {
      return cloud.callerInstance();
    } catch (error) {
      assert.ok(error instanceof LookUpError);
      return faultOf(error).tag;
    }
  };
  assert.equal(thrown(), 'broken', 'nothing is granted at first');
  setInstance({ id: 'i-1', tags: new Map([['team', 'db']]) });
  const { id, zone, tags } = cloud.callerInstance();
  assert.deepEqual([id, zone, tags.get('team'), tags.get('none')], ['i-1', '', 'db', undefined]);
  setInstance(undefined);
  assert.equal(cloud.callerInstance(), undefined);
  for (const code of ['forbidden', 'unavailable']) {
    setInstance(code);
    assert.equal(thrown(), 'unavailable', code);
  }
});

test('tests say which tags the role or user of the caller has', () => {
  assert.throws(() => cloud.callerTags(), (error) => error instanceof LookUpError && error.code === 'not-granted');
  setTags({ team: 'db' });
  assert.deepEqual([...cloud.callerTags()], [['team', 'db']]);
  setTags({});
  assert.equal(cloud.callerTags().size, 0, 'without tags is not the same as not there');
  setTags(undefined);
  assert.equal(cloud.callerTags(), undefined);
  for (const code of ['forbidden', 'unavailable']) {
    setTags(code);
    assert.throws(() => cloud.callerTags(), (error) => error instanceof LookUpError && faultOf(error).tag === 'unavailable');
  }
});

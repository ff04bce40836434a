// What `herald policy build` runs for a policy in JavaScript or TypeScript: one bundle of it and all that it uses, and
// a component of that. The engine's clocks, randomness, output and network are taken out, so nothing can ask for them.

import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { componentize, version as release } from '@bytecodealliance/componentize-js';
import { build as bundle } from 'esbuild';

import { keep } from './kept.js';

const CONTRACT = /^herald:policy\/([a-z-]+)@/;
const FEATURES_OFF = ['stdio', 'random', 'clocks', 'http', 'fetch-event'];

/**
 * Builds the policy in the current folder. `wit` is the contract's text, `output` the component's file, and `cache` a
 * folder in which components are kept by what they are made of.
 */
export async function build({ wit, output, cache }) {
  const about = JSON.parse(await readFile('package.json', 'utf8'));
  if (!about.name || !about.version) throw new Error('package.json needs a name and a version');
  const { code, capabilities } = await bundled(about.main ?? 'policy.js');
  const includes = capabilities.map((name) => `import ${name};`).join(' ');
  const world = `${wit}\nworld built { include policy; ${includes} }\n`;
  const tool = `componentize-js ${release}`;
  const key = createHash('sha256').update([tool, world, code].join('\0')).digest('hex');
  const file = `${key}.wasm`;
  let component = await readFile(join(cache, file)).catch(() => undefined);
  if (component === undefined) {
    process.stderr.write(`${about.name}: making a component with ${tool}, which takes about 15 seconds\n`);
    component = await componentOf(code, world);
    await keep(cache, file, component).catch((error) => {
      process.stderr.write(`${about.name}: it cannot be kept, so that the next build makes it again: ${error.message}\n`);
    });
  }
  await writeFile(output, component);
  const { name, version, description, license } = about;
  return { name, version, description, license };
}

/** The policy and all that it uses in one text, and which capabilities of the contract are left in it. */
async function bundled(main) {
  const entry = `import Policy from ${JSON.stringify(`./${main}`)};
    import { mapperOf } from 'herald-policy/component';
    export const mapper = mapperOf(Policy);`;
  const { outputFiles, metafile } = await bundle({
    stdin: { contents: entry, resolveDir: process.cwd(), sourcefile: 'component.js' },
    bundle: true,
    charset: 'utf8',
    conditions: ['herald'],
    external: ['herald:*'],
    format: 'esm',
    logLevel: 'warning',
    // What packages without `exports` name their code by: without a platform, none counts.
    mainFields: ['module', 'main'],
    metafile: true,
    platform: 'neutral',
    target: 'es2023',
    write: false,
  });
  const imports = Object.values(metafile.outputs).flatMap((file) => file.imports);
  const names = imports.map(({ path }) => CONTRACT.exec(path)?.[1]).filter((name) => name && name !== 'log');
  return { code: outputFiles[0].text, capabilities: [...new Set(names)].sort() };
}

async function componentOf(code, world) {
  const folder = await mkdtemp(join(tmpdir(), 'herald-policy-'));
  try {
    // Errors name it and its lines, which are not those of the policy's own files.
    const [sourcePath, witPath] = [join(folder, 'bundle.js'), join(folder, 'policy.wit')];
    await writeFile(sourcePath, code);
    await writeFile(witPath, world);
    const made = await componentize({ sourcePath, witPath, worldName: 'built', disableFeatures: FEATURES_OFF });
    return made.component;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

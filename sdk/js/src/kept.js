// Components that are kept between builds, by what they are made of.

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Keeps a component under `name` in the folder `cache`, in place of all others: whole, or not if this ends in the middle. */
export async function keep(cache, name, component) {
  await rm(cache, { recursive: true, force: true });
  await mkdir(cache, { recursive: true });
  const part = join(cache, `${name}.part`);
  await writeFile(part, component);
  await rename(part, join(cache, name));
}

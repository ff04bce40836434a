const [wit, output, cache] = process.argv.slice(-3);
const missing = (error) => /Cannot find package '([^']+)'/.exec(error?.message)?.[1];
try {
  const { readFile } = await import('node:fs/promises');
  const { build } = await import('herald-policy/build');
  const built = await build({ wit: await readFile(wit, 'utf8'), output, cache });
  console.log(JSON.stringify({ built }));
} catch (error) {
  const name = error?.code === 'ERR_MODULE_NOT_FOUND' && missing(error);
  if (name) console.log(JSON.stringify({ missing: name }));
  else {
    // The bundler has told its own already, with the lines that they are about.
    if (!error?.errors) console.error(error?.message ?? error);
    process.exitCode = 1;
  }
}

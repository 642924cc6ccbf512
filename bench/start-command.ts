import { readFile } from 'node:fs/promises';

const PACKAGE = new URL('../package.json', import.meta.url);

/** What Node is given by `npm start`. */
export async function startArguments(): Promise<string[]> {
  const { scripts } = JSON.parse(await readFile(PACKAGE, 'utf8')) as { scripts: { start: string } };
  return scripts.start.split(' ').slice(1);
}

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

/*
 * The plan of the house, held by a test: which room may know which, how long a file may grow, and that none is dead.
 */

const SRC = fileURLToPath(new URL('../../src/', import.meta.url));

/** Rooms in the order of ARCHITECTURE.md: each may import those before it. */
const ROOMS = ['domain', 'contract', 'kernels', 'wire', 'client', 'store', 'engine', 'service', 'http'];

/** Packages that a room may use; a room that is not listed here may use any. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  contract: ['@sinclair/typebox', 'ajv', 'node:crypto'],
  kernels: ['node:fs', 'node:module', 'node:os', 'node:url'],
  wire: ['node:buffer', 'node:module', 'node:url'],
  store: ['@redis/client', 'node:crypto', 'node:fs/promises', 'node:path', 'node:timers/promises'],
  client: ['node:http', 'node:timers/promises', 'undici'],
};

/** Files that no import leads to: the process, the entry of the worker threads, and what other programs import. */
const ENTRIES = ['main.ts', 'engine/worker.ts', 'client/index.ts'];

const LONGEST_FILE = 300;

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly lines: number;
  readonly imports: readonly string[];
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.(ts|cc|h|js|css)$/.test(path))
  .map(readSource);
/** AssemblyScript looks like TypeScript, but is another language with imports of its own. */
const modules = files.filter(
  ({ path }) => path.endsWith('.ts') && !path.startsWith('kernels/wasm/assembly/'),
);

function readSource(path: string): SourceFile {
  const text = readFileSync(join(SRC, path), 'utf8');
  const imports = Array.from(
    text.matchAll(/(?:^(?:import|export)\b[^'"]*?from |\bimport\()'([^']+)'/gms),
    ([, from]) => from,
  );
  return { path: path.split(sep).join('/'), room: roomOf(path), lines: text.split('\n').length, imports };
}

function roomOf(path: string): string {
  const [first, ...rest] = path.split(/[\\/]/);
  return rest.length === 0 ? '' : first;
}

/** Path below src of what a relative import leads to. */
function target(file: SourceFile, specifier: string): string {
  return relative(SRC, join(SRC, dirname(file.path), specifier))
    .split(sep)
    .join('/');
}

describe('the house', () => {
  it.each(modules)('$path imports only the rooms before its own', (file) => {
    for (const specifier of file.imports.filter((name) => name.startsWith('.'))) {
      const imported = target(file, specifier);
      const room = roomOf(imported);
      if (file.room === '' || room === file.room || imported === '../package.json') continue;
      expect(ROOMS, `${imported} stands in no room`).toContain(room);
      expect(ROOMS.indexOf(room), `${file.path} imports ${imported}`).toBeLessThan(ROOMS.indexOf(file.room));
    }
  });

  it.each(modules.filter(({ room }) => room in PACKAGES))(
    '$path uses only the packages of its room',
    (file) => {
      const packages = file.imports.filter((specifier) => !specifier.startsWith('.'));
      for (const name of packages) expect(PACKAGES[file.room]).toContain(name);
    },
  );

  it.each(files)('$path is at most as long as a file may be', ({ lines }) => {
    expect(lines).toBeLessThanOrEqual(LONGEST_FILE);
  });

  it('has no dead files', () => {
    const imported = new Set(
      modules.flatMap((file) => file.imports.map((specifier) => target(file, specifier))),
    );
    const dead = modules
      .map(({ path }) => path)
      .filter((path) => !imported.has(path) && !ENTRIES.includes(path));
    expect(dead).toEqual([]);
  });
});

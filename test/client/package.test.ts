import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TWO_HEADS } from '../http/layers/support.ts';
import { listen, type TestService } from '../http/support.ts';
import { blockOf } from '../support/readme.ts';

const run = promisify(execFile);
const TSC = createRequire(import.meta.url).resolve('typescript/bin/tsc');

/*
 * The example of the README in a folder of another service, which has this package as npm links it.
 */

let service: TestService;
let folder: string;

beforeAll(async () => {
  service = await listen();
  folder = await mkdtemp(join(tmpdir(), 'attention-consumer-'));
  await run('mkdir', [join(folder, 'node_modules')]);
  await symlink(process.cwd(), join(folder, 'node_modules', 'attention-api'));
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  await writeFile(
    join(folder, 'example.ts'),
    blockOf('ts', 'attention-api/client').replace('http://localhost:8080', service.url),
  );
  await writeFile(join(folder, 'session.ts'), sessionExample(service.url));
});
afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true });
});

/** The lines about a session, and what stands around them. */
function sessionExample(url: string): string {
  return [
    "import { AttentionClient } from 'attention-api/client';",
    `const attention = new AttentionClient('${url}');`,
    `const projections = ${JSON.stringify(TWO_HEADS.projections)};`,
    blockOf('ts', 'attention.sessions'),
    'console.log(position, session.position, output.shape);',
    'await attention.close();',
  ].join('\n');
}

it('the client runs without a build', async () => {
  const { stdout, stderr } = await run(process.execPath, ['example.ts'], { cwd: folder });
  expect(stdout).toMatch(
    /^\[ 1, 1 \] Float32Array\(1\) \[ 9\.3577\d+ \] Float32Array\(2\) \[ 0\.10704\d+, 0\.89295\d+ \]\n$/,
  );
  expect(stderr).toBe('');
});

it('layers and sessions do too', async () => {
  const { stdout, stderr } = await run(process.execPath, ['session.ts'], { cwd: folder });
  expect({ stdout, stderr }).toEqual({ stdout: '1 1 [ 1, 4 ]\n', stderr: '' });
});

/**
 * Whoever imports the source has the compiler check it too, by their options, which may go beyond `strict`: those here
 * besides what `npm run check` holds all of the source to.
 */
const STRICTER = {
  allowUnreachableCode: false,
  allowUnusedLabels: false,
  noPropertyAccessFromIndexSignature: true,
  noUncheckedIndexedAccess: true,
  noUncheckedSideEffectImports: true,
};

it('the client has its types', { timeout: 120_000 }, async () => {
  const compilerOptions = {
    ...STRICTER,
    module: 'nodenext',
    target: 'es2024',
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    types: ['node'],
    typeRoots: [join(process.cwd(), 'node_modules/@types')],
  };
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['example.ts', 'session.ts'] }),
  );
  await expect(run(process.execPath, [TSC, '-p', folder])).resolves.toEqual({ stdout: '', stderr: '' });
});

import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
});
afterAll(async () => {
  await service.close();
  await rm(folder, { recursive: true });
});

it('the client runs without a build', async () => {
  const { stdout, stderr } = await run(process.execPath, ['example.ts'], { cwd: folder });
  expect(stdout).toMatch(
    /^\[ 1, 1 \] Float32Array\(1\) \[ 9\.3577\d+ \] Float32Array\(2\) \[ 0\.10704\d+, 0\.89295\d+ \]\n$/,
  );
  expect(stderr).toBe('');
});

it('the client has its types', { timeout: 120_000 }, async () => {
  const compilerOptions = {
    module: 'nodenext',
    target: 'es2024',
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    types: ['node'],
    typeRoots: [join(process.cwd(), 'node_modules/@types')],
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['example.ts'] }));
  await expect(run(process.execPath, [TSC, '-p', folder])).resolves.toEqual({ stdout: '', stderr: '' });
});

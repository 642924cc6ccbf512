import { execFile } from 'node:child_process';
import { chmod, chown, copyFile, cp, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { argumentsOf, copiedFromContext, type Instruction, readDockerfile } from '../support/dockerfile.ts';
import { postJson } from '../support/exchange.ts';
import { type ServiceProcess, startService } from '../support/service-process.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

/**
 * What the image would hold, put together by the instructions of the Dockerfile and started as the image would
 * start it: without development tools, as a user who may write to the data folder alone.
 */
describe('the files of the image', () => {
  const [build, image] = readDockerfile('Dockerfile');
  const [uid] = argumentsOf(image, 'USER')[0].split(':').map(Number);
  let root: string;
  let app: string;
  let service: ServiceProcess;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'image-'));
    app = join(root, 'app');
    const node = join(root, 'node');
    await chmod(root, 0o755);
    await mkdir(app);
    await copyContext(build, app);
    for (const command of argumentsOf(build, 'RUN').filter((run) => !run.startsWith('apt-get '))) {
      await run('sh', ['-c', command], { cwd: app, env: ownNpm() });
    }
    await copyContext(image, app);
    await mkdir(join(root, 'data'));
    await copyFile(process.execPath, node);
    if (isRoot) await chown(join(root, 'data'), uid, uid);
    const env = { NODE_ENV: 'production', DATA_DIR: join(root, 'data'), SHUTDOWN_DELAY_MS: '2000' };
    service = await startService({ cwd: app, node, env, ...(isRoot ? { uid } : {}) });
  });
  afterAll(async () => {
    await service?.stop();
    await rm(root, { recursive: true });
  });

  it('hold no tool and no pretrained weights', async () => {
    const packages = await readdir(join(app, 'node_modules'));
    expect(packages).toContain('fastify');
    for (const name of [
      'node',
      'typescript',
      'assemblyscript',
      'vitest',
      '@biomejs',
      '@energetic-ai',
      '@huggingface',
    ]) {
      expect(packages).not.toContain(name);
    }
  });

  it('hold the native kernels and codec, and the kernels of WebAssembly', async () => {
    for (const addon of ['attention.node', 'codec.node']) {
      expect((await stat(join(app, 'build', addon))).isFile()).toBe(true);
    }
    expect(await readdir(join(app, 'src', 'kernels', 'wasm', 'compiled'))).toEqual([
      'relaxed.wasm',
      'simd.wasm',
    ]);
  });

  it('are enough to serve', async () => {
    const call = { query: [[1]], key: [[1]], value: [[7]] };
    const { status, body } = await postJson(service.url, '/v1/scaled-dot-product-attention', call);
    expect(status).toBe(200);
    expect(body.output).toEqual([[7]]);
    for (const page of ['/', '/docs', '/openapi.json']) {
      expect((await fetch(service.url + page)).status, page).toBe(200);
    }
  });

  it('belong to another user than the one that serves', async () => {
    for (const path of ['src', 'node_modules', 'package.json']) {
      expect((await stat(join(app, path))).uid).toBe(process.getuid?.());
    }
    if (isRoot) expect(await processUser(service.pid)).toBe(uid);
  });

  it('tell healthy from stopping from gone', async () => {
    expect(await health()).toMatchObject({ status: 0, stdout: expect.stringMatching(/^200 /) });
    service.kill('SIGTERM');
    await until503();
    expect(await health()).toMatchObject({ status: 1, stdout: expect.stringMatching(/^503 /) });
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(await health()).toMatchObject({ status: 1, stdout: expect.stringMatching(/^no answer: /) });
  });

  async function until503(): Promise<void> {
    while ((await fetch(`${service.url}/health/ready`)).status !== 503);
  }

  function health(): Promise<{ status: number; stdout: string }> {
    const env = { HOST: '127.0.0.1', PORT: String(service.port) };
    return new Promise((resolve) => {
      execFile(process.execPath, ['deploy/healthcheck.mjs'], { cwd: app, env }, (error, stdout) => {
        resolve({ status: error === null ? 0 : Number(error.code), stdout });
      });
    });
  }
});

async function copyContext(stage: readonly Instruction[], app: string): Promise<void> {
  for (const { from, to } of copiedFromContext(stage)) {
    for (const path of from) {
      const target = to.endsWith('/') ? join(app, to, path) : join(app, to);
      await cp(path, target, { recursive: true });
    }
  }
}

/** The environment without what `npm run` puts there, which would point npm at this project. */
function ownNpm(): NodeJS.ProcessEnv {
  const foreign = /^(npm_config_local_prefix|npm_package_.*|npm_lifecycle_.*|INIT_CWD)$/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}

async function processUser(pid: number): Promise<number> {
  return (await stat(`/proc/${pid}`)).uid;
}

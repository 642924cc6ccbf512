import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'undici';
import { describe, expect, it } from 'vitest';
import { LARGE_ANSWER, LARGE_ANSWER_BYTES, RawConnection } from '../support/raw-connection.ts';
import { type ServiceProcess, startService } from '../support/service-process.ts';
import { filled, post, SDPA, SMALL, send } from './support.ts';

/** About a second of arithmetic. */
const MEDIUM = {
  query: filled(1024, 64),
  key: filled(2048, 64),
  value: filled(2048, 64),
  precision: 'float64',
};

describe('the process refuses to start, in one line,', () => {
  it('with a setting that cannot be used', async () => {
    expect(await startBadly({ PORT: 'eighty' })).toEqual({
      code: 1,
      stderr: 'attention-api cannot start. PORT: expected an integer from 0 to 65535; got "eighty".\n',
    });
  });

  it('at an address of another machine', async () => {
    expect(await startBadly({ HOST: '203.0.113.1' })).toEqual({
      code: 1,
      stderr: 'attention-api cannot start. HOST: expected an address of this machine.\n',
    });
  });

  it('at a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const { code, stderr } = await startBadly({ PORT: String(port) });
    other.close();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^attention-api cannot start\. PORT: expected a port that is free.*\n$/);
  });
});

describe('the process', () => {
  it('says where everything is, and takes its limits from the environment', async () => {
    const service = await startService({
      env: { MAX_BODY_BYTES: '200', THREADS: '1', MAX_REQUEST_FLOPS: '1e9' },
    });
    await service.line('Documentation', `${service.url}/docs`);
    await service.line('OpenAPI', `${service.url}/openapi.json`);
    await service.line('First call', SDPA);
    const { json } = await send(`${service.url}/v1/info`);
    expect(json.limits).toMatchObject({ body_bytes: 200, request_flops: 1e9 });
    expect(json.threads).toBe(1);
    expect((await post(service.url + SDPA, JSON.stringify(SMALL) + ' '.repeat(200))).status).toBe(413);
    await service.stop();
  });

  it('keeps what Node makes of its modules, even where it is killed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'compile-cache-'));
    const service = await startService({ env: { NODE_COMPILE_CACHE: folder } });
    while (!(await readdir(folder, { recursive: true })).some(isCompiled));
    service.kill('SIGKILL');
    await service.exited;
    await rm(folder, { recursive: true });
  });

  it('listens at one address of localhost', async () => {
    const service = await startService({ env: { HOST: 'localhost' } });
    expect(service.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await post(service.url + SDPA, JSON.stringify(SMALL))).status).toBe(200);
    await service.stop();
  });

  it('does without where nothing can be kept', async () => {
    const service = await startService({ env: { NODE_COMPILE_CACHE: '/dev/null/compile-cache' } });
    expect((await post(service.url + SDPA, JSON.stringify(SMALL))).status).toBe(200);
    await service.stop();
  });

  it('finishes what it has accepted when it is told to stop, and ends well', async () => {
    const service = await startService({ env: { THREADS: '1' } });
    const answer = post(service.url + SDPA, MEDIUM);
    await requestsReach(service, 1);
    service.kill('SIGTERM');
    const reply = await answer;
    expect(reply.status).toBe(200);
    expect(reply.headers.connection).toBe('close');
    expect(await service.exited).toEqual({ code: 0, signal: null });
    await service.line('"stopped"');
  });

  it('sends answers to their ends when it is told to stop, to slow readers too', async () => {
    const service = await startService();
    const connections = await Promise.all(Array.from({ length: 3 }, () => RawConnection.open(service.url)));
    for (const connection of connections) connection.write(LARGE_ANSWER);
    await Promise.all(connections.map((connection) => once(connection.socket, 'readable')));
    service.kill('SIGTERM');
    await service.line('"stopping"');
    // Long enough for whatever closes connections to have looked at these.
    await sleep(300);
    const answers = await Promise.all(connections.map((connection) => connection.answer()));
    expect(answers.map((answer) => answer?.body.length)).toEqual(Array(3).fill(LARGE_ANSWER_BYTES));
    expect(await service.exited).toEqual({ code: 0, signal: null });
  });

  it('does not wait for clients that have not asked for anything when it is told to stop', async () => {
    const service = await startService();
    const refused = await RawConnection.open(service.url);
    refused.write(`POST ${SDPA} HTTP/1.1`, 'Host: a', 'Content-Type: text/csv', 'Content-Length: 9', '', '');
    expect((await refused.answer())?.status).toBe(415);
    const halfway = await RawConnection.open(service.url);
    halfway.write('GET /health/live HTTP/1.1', 'Host: a', 'X-');
    const silent = await RawConnection.open(service.url);
    await sleep(100);
    const startMs = performance.now();
    service.kill('SIGTERM');
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - startMs).toBeLessThan(5000);
    for (const { socket } of [refused, halfway, silent]) socket.destroy();
  });

  it('loses nothing under load when it is told to stop', async () => {
    const service = await startService({ env: { SHUTDOWN_DELAY_MS: '1000' } });
    const statuses: number[] = [];
    // As a gateway does, each client stops using its connection when the service asks it to.
    const client = async () => {
      const connection = new Client(service.url);
      for (let open = true; open; ) {
        const { statusCode, headers, body } = await connection.request({
          path: SDPA,
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(SMALL),
        });
        await body.dump();
        statuses.push(statusCode);
        open = headers.connection !== 'close';
      }
      await connection.close();
    };
    const clients = Array.from({ length: 8 }, client);
    await service.line(`"path":"${SDPA}"`);
    const before = await send(`${service.url}/health/ready`);
    service.kill('SIGTERM');
    await service.line('"stopping"');
    const after = await send(`${service.url}/health/ready`);
    await Promise.all(clients);
    expect(await service.exited).toEqual({ code: 0, signal: null });
    expect([before.status, after.status]).toEqual([200, 503]);
    expect(after.json).toEqual({ status: 'stopping' });
    expect(statuses.length).toBeGreaterThanOrEqual(8);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
  });
});

/** Names that Node gives to what it keeps: a folder for its version, and in it hashes. */
function isCompiled(path: string): boolean {
  return /[\\/][0-9a-f]{8}$/.test(path);
}

async function requestsReach(service: ServiceProcess, count: number): Promise<void> {
  while ((await send(`${service.url}/v1/info`)).json.engine.requests < count);
}

async function startBadly(env: NodeJS.ProcessEnv): Promise<{ code: number; stderr: string }> {
  const child = spawn(process.execPath, ['src/start.mjs'], {
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: '0', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code, stderr };
}

import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AttentionClient } from '../../src/client/index.ts';
import { put, TWO_HEADS } from '../http/layers/support.ts';
import { postJson } from '../support/exchange.ts';
import { type Gateway, nginxIsInstalled, startGateway } from '../support/gateway.ts';
import { type ServiceProcess, startService } from '../support/service-process.ts';

const installed = nginxIsInstalled();
if (!installed) console.warn('SKIPPED test/e2e/nginx-sessions.test.ts: there is no nginx on this machine.');

/** With two replicas, so many of them by chance on one have a probability of 2^-19. */
const SESSIONS = 20;
const TOKEN = [1, 0, 1, 0];
/** An id as the gateway makes them. */
const CLAIMED = 'c'.repeat(32);

describe.skipIf(!installed)('nginx before two replicas that share their layers', () => {
  let folder: string;
  let replicas: ServiceProcess[];
  let gateway: Gateway;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'shared-'));
    const env = { DATA_DIR: folder, TRUST_PROXY: '127.0.0.1', THREADS: '1' };
    replicas = await Promise.all([startService({ env }), startService({ env })]);
    gateway = await startGateway(replicas.map(({ port }) => port));
    expect((await put(`${gateway.url}/v1/layers/a`, TWO_HEADS)).status).toBe(201);
  });
  afterAll(async () => {
    await gateway?.stop();
    await Promise.all(replicas.map((replica) => replica.stop()));
    rmSync(folder, { recursive: true });
  });

  /** Where a request went. */
  const upstreamOf = async (headers: IncomingHttpHeaders) =>
    (await gateway.record(headers['x-request-id'] as string)).upstream;

  it('sends all requests of a session to the one that has begun it', async () => {
    const met = new Set<string>();
    for (let i = 0; i < SESSIONS; i++) {
      const begun = await postJson(gateway.url, '/v1/sessions', { layer: 'a' });
      expect(begun.status).toBe(201);
      const upstream = await upstreamOf(begun.headers);
      for (let position = 1; position <= 3; position++) {
        const path = `/v1/sessions/${begun.body.session_id}/append`;
        const body = { embeddings: [TOKEN], expected_position: position - 1 };
        const appended = await postJson(gateway.url, path, body);
        expect(appended.body).toMatchObject({ position });
        expect(await upstreamOf(appended.headers)).toBe(upstream);
      }
      met.add(upstream);
    }
    expect(met.size).toBe(2);
  });

  it('serves the client as it is', async () => {
    const client = new AttentionClient(gateway.url);
    for (let i = 0; i < SESSIONS; i++) {
      const session = await client.sessions.begin({ layer: 'a' });
      for (let position = 1; position <= 3; position++) {
        expect(await session.append({ embeddings: [TOKEN] })).toMatchObject({ position });
      }
      expect((await client.sessions.find(session.id)).position).toBe(3);
      await session.end();
    }
    await client.close();
  });

  it('takes no id from a client', async () => {
    for (const path of ['/v1/sessions', '/v1/sessions?of=mine', '/v1/%73essions']) {
      const { status, body } = await postJson(gateway.url, path, { layer: 'a' }, { 'x-session-id': CLAIMED });
      expect(status).toBe(201);
      expect(body.session_id).toMatch(/^[0-9a-f]{32}$/);
      expect(body.session_id).not.toBe(CLAIMED);
    }
    expect((await fetch(`${gateway.url}/v1/sessions/${CLAIMED}`)).status).toBe(404);
  });

  it('sends the requests of a sequence of the Open Inference Protocol to one', async () => {
    const inputs = [{ name: 'embeddings', shape: [1, 4], datatype: 'FP32', data: TOKEN }];
    for (let id = 1; id <= SESSIONS; id++) {
      for (const more of [{ sequence_start: true }, {}, { sequence_end: true }]) {
        const body = { inputs, parameters: { sequence_id: id, ...more } };
        const { status } = await postJson(gateway.url, '/v2/models/a/infer', body);
        expect(status).toBe(200);
      }
    }
  });
});

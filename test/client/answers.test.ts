import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AttentionClient, AttentionResponseError } from '../../src/client/index.ts';
import { writeSafetensors } from '../../src/wire/safetensors/write.ts';

/*
 * Answers of success that are none of this service: another one at the address, or a gateway's.
 */

const CALL = { query: [[1, 2]], key: [[1, 2]], value: [[3]] };
const SESSION = { session_id: 's', layer: 'a', etag: 'e', precision: 'float32', max_length: 9, position: 0 };

interface Answer {
  readonly status?: number;
  readonly type?: string;
  readonly body: string | Uint8Array;
}

const json = (body: unknown, status = 200): Answer => ({ status, body: JSON.stringify(body) });

/** A file with the tensors of these names, and `response` as the rest. */
function file(response: unknown, ...names: string[]): Answer {
  const tensor = { dtype: 'F32', shape: [1, 1], bytes: new Uint8Array(4) } as const;
  const tensors = new Map(names.map((name) => [name, tensor]));
  const body = writeSafetensors(tensors, { response: JSON.stringify(response) });
  return { type: 'application/vnd.safetensors', body };
}

describe('an answer is refused', () => {
  let server: Server;
  let client: AttentionClient;
  let answers: Answer[];
  let received: number;

  beforeEach(async () => {
    received = 0;
    server = createServer((request, response) => {
      received++;
      const { status = 200, type = 'application/json', body } = answers.shift()!;
      request.resume().once('end', () => response.writeHead(status, { 'content-type': type }).end(body));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = new AttentionClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  afterEach(async () => {
    await client.close();
    server.closeAllConnections();
    server.close();
  });

  it.each<[string, Answer, RegExp]>([
    ['has no output', file({ empty_rows: 0, applied: {} }, 'logits'), /output/],
    ['has no tensors', file({ empty_rows: 0, applied: {} }), /output/],
    ['has null for the rest', file(null, 'output'), /null/],
    ['has a list for the rest', file([], 'output'), /\[\]/],
  ])('that %s', async (_what, answer, words) => {
    answers = [answer];
    const call = client.scaledDotProductAttention(CALL);
    await expect(call).rejects.toBeInstanceOf(AttentionResponseError);
    await expect(call).rejects.toThrow(words);
    expect(received).toBe(1);
  });

  it.each<[string, (client: AttentionClient) => Promise<unknown>, string]>([
    ['the beginning of a session', ({ sessions }) => sessions.begin({ layer: 'a' }), 'session_id'],
    ['a session', ({ sessions }) => sessions.find('s'), 'session_id'],
    ['a registered layer', ({ layers }) => layers.put('a', { projections: {} }), 'etag'],
    ['a layer', ({ layers }) => layers.get('a'), 'etag'],
    ['the list of layers', ({ layers }) => layers.list(), 'layers'],
    ['what the service is', (any) => any.info(), 'version'],
    ['whether it is ready', (any) => any.health(), 'status'],
  ])('for %s that is any other JSON', async (_what, call, member) => {
    const foreign = [null, {}, [], 'ok', 7, { [member]: null }];
    for (const body of foreign) {
      for (const status of [200, 201]) {
        answers = [json(body, status)];
        const answered = call(client);
        await expect(answered, JSON.stringify(body)).rejects.toBeInstanceOf(AttentionResponseError);
        await expect(answered).rejects.toThrow(member);
        await expect(answered).rejects.toThrow(`got ${JSON.stringify(body)}`);
      }
    }
    expect(received).toBe(2 * foreign.length);
  });

  it('for an append that does not say where the session stands, which then stands where it stood', async () => {
    const rest = { empty_rows: 0, applied: {} };
    const { position: _, ...nowhere } = SESSION;
    answers = [
      json(SESSION),
      file(rest, 'output'),
      file({ ...rest, position: '1' }, 'output'),
      file({ ...rest, position: 1 }, 'output'),
      json(nowhere),
    ];
    const session = await client.sessions.find('s');
    for (let time = 0; time < 2; time++) {
      const append = session.append({ embeddings: [[1]] });
      await expect(append).rejects.toBeInstanceOf(AttentionResponseError);
      await expect(append).rejects.toThrow('position');
      expect(session.position).toBe(0);
    }
    await session.append({ embeddings: [[1]] });
    expect(session.position).toBe(1);
    await expect(session.describe()).rejects.toThrow('position');
  });
});

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AttentionClient, type ClientOptions } from '../../src/client/index.ts';

/*
 * What a caller has got wrong, and no repetition mends: nothing is sent.
 */

const CALL = { query: [[1, 2]], key: [[1, 2]], value: [[3]] };

let server: Server;
let url: string;
let received: number;
const clients: AttentionClient[] = [];

beforeEach(async () => {
  received = 0;
  server = createServer((_request, response) => {
    received++;
    response.writeHead(503).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  server.closeAllConnections();
  server.close();
});

/** A client whose pauses no test would outlast. */
function patient(options: ClientOptions = {}): AttentionClient {
  const client = new AttentionClient(url, { pauseMs: 600_000, ...options });
  clients.push(client);
  return client;
}

it.each(['a\r\nb: c', '', 'a b', 'ä', 'x'.repeat(65)])('%j names no request', async (requestId) => {
  const client = patient();
  const words = /^requestId: expected 1 to 64 letters, digits, _ and -; got "/;
  for (const call of [
    client.info({ requestId }),
    client.scaledDotProductAttention(CALL, { requestId }),
    client.layers.delete('a', { requestId }),
  ]) {
    await expect(call).rejects.toThrow(RangeError);
    await expect(call).rejects.toThrow(words);
  }
  expect(received).toBe(0);
});

it.each<[string, Record<string, string>]>([
  ['a name with a space', { 'x key': 'a' }],
  ['no name', { '': 'a' }],
  ['a value of two lines', { authorization: 'Bearer a\r\nb: c' }],
  ['a value beyond Latin-1', { authorization: 'Bearer 鍵' }],
  ['no value', { authorization: undefined as unknown as string }],
])('no client has headers with %s', (_what, headers) => {
  expect(() => new AttentionClient(url, { headers })).toThrow(TypeError);
});

it.each([
  ['transfer-encoding', 'chunked'],
  ['expect', '100-continue'],
  ['connection', 'a b'],
  ['content-length', '7'],
])('%s is not for the caller to say', async (name, value) => {
  const call = patient({ headers: { [name]: value } }).scaledDotProductAttention(CALL);
  await expect(call).rejects.toThrow(TypeError);
  await expect(call).rejects.toThrow(new RegExp(name, 'i'));
  expect(received).toBe(0);
});

describe('a number that JSON would turn into null', () => {
  const wrong = (call: object) => patient().scaledDotProductAttention({ ...CALL, ...call } as typeof CALL);
  const refused = async (call: Promise<unknown>, words: string) => {
    await expect(call).rejects.toThrow(new RangeError(words));
    expect(received).toBe(0);
  };

  it.each<[string, object, string]>([
    ['an option', { scale: Number.NaN }, 'scale: expected a finite number; got NaN'],
    [
      'a member of one',
      { causal: { offset: Number.NEGATIVE_INFINITY } },
      'causal.offset: expected a finite number; got -Infinity',
    ],
    ['nested arrays', { query: [[1, Number.NaN]] }, 'query[0][1]: expected a finite number; got NaN'],
    ['a list', { sinks: [1 / 0] }, 'sinks[0]: expected a finite number; got Infinity'],
    [
      'flat data',
      { bias: { dtype: 'float16', shape: [1, 1], data: [-1 / 0] } },
      'bias.data[0]: expected a finite number; got -Infinity',
    ],
    [
      'a body too long for the header of a file',
      {
        bias: {
          dtype: 'float16',
          shape: [1, 40_000],
          data: Array(40_000).fill(0.5).with(39_999, Number.NaN),
        },
      },
      'bias.data[39999]: expected a finite number; got NaN',
    ],
    [
      'what stands beside a null',
      { scale: null, softcap: Number.NaN },
      'softcap: expected a finite number; got NaN',
    ],
  ])('is told in %s', async (_what, call, words) => {
    await refused(wrong(call), words);
  });

  it('is told in layers and sessions', async () => {
    const { layers, sessions } = patient();
    const words = (field: string) => `${field}: expected a finite number; got Infinity`;
    await refused(layers.put('a', { projections: { w_q: [[1]] }, softcap: 1 / 0 }), words('softcap'));
    await refused(sessions.begin({ layer: 'a', max_length: 1 / 0 }), words('max_length'));
  });

  it('is sent where it travels as bytes, and so is what is none', async () => {
    const client = patient({ retries: 0 });
    const query = { shape: [1, 2], data: Float32Array.of(1, Number.NaN) };
    for (const call of [
      { ...CALL, query },
      { ...CALL, scale: null as unknown as number },
    ]) {
      await expect(client.scaledDotProductAttention(call)).rejects.toThrow('503');
    }
    expect(received).toBe(2);
  });
});

it('an etag is one line', async () => {
  const call = patient().layers.delete('a', { ifMatch: 'e"\r\nb: c' });
  await expect(call).rejects.toThrow(TypeError);
  await expect(call).rejects.toThrow('if-match');
  expect(received).toBe(0);
});

it('a client may be closed twice', async () => {
  const client = patient();
  await Promise.all([client.close(), client.close()]);
  await client.close();
  await expect(client.info()).rejects.toThrow('The client is closed.');
});

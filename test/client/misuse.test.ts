import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
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

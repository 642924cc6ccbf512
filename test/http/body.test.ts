import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { type BodyBudget, readBody } from '../../src/http/body.ts';

const LENGTH = 300_000;
const PIECE = 1000;
const body = Buffer.from(Array.from({ length: LENGTH }, (_, index) => index % 251));

const budget: BodyBudget = {
  limit: LENGTH,
  memoryOf: (bytes) => new Uint8Array(bytes),
  signal: new AbortController().signal,
};

/** What a server makes of a request whose body comes in pieces: they differ from those of the sender. */
async function received(read: (message: IncomingMessage) => Promise<Uint8Array>): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const server = createServer((message, reply) => {
    read(message)
      .then(resolve, reject)
      .finally(() => reply.end());
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  const sending = request({ port, host: '127.0.0.1', method: 'POST' }, (reply) => reply.resume());
  for (let at = 0; at < LENGTH; at += PIECE) sending.write(body.subarray(at, at + PIECE));
  sending.end();
  try {
    return await promise;
  } finally {
    server.close();
  }
}

test.each([LENGTH, undefined])(
  'a body from the network arrives whole, its length announced as %s',
  async (length) => {
    expect(body.equals(await received((message) => readBody(message, length, budget)))).toBe(true);
  },
);

test('what the parser allocated for a chunk is freed with the chunk', async () => {
  const chunks: Buffer[] = [];
  await received((message) => {
    const reading = readBody(message, LENGTH, budget);
    message.on('data', (chunk) => chunks.push(chunk));
    return reading;
  });
  expect(chunks.length).toBeGreaterThan(0);
  expect(chunks.map(({ length, buffer }) => [length, buffer.byteLength])).toEqual(chunks.map(() => [0, 0]));
});

test('what another stream hands out stays its own', async () => {
  const chunk = Buffer.from(new Uint8Array(100).fill(7).buffer);
  const bytes = await readBody(Readable.from([chunk]), 100, budget);
  expect([...bytes]).toEqual([...chunk]);
  expect(chunk.length).toBe(100);
});

test('a body that is closed before its end, or before it is read, is refused', async () => {
  const stream = new Readable({ read: () => {} });
  stream.push(Buffer.from('half'));
  const reading = readBody(stream, 100, budget);
  stream.destroy();
  await expect(reading).rejects.toThrow('closed before its end');
  await expect(readBody(stream, 100, budget)).rejects.toThrow('closed before its end');
});

test('what a body fails with is what its reading fails with', async () => {
  const stream = new Readable({ read: () => {} });
  const reading = readBody(stream, 100, budget);
  stream.destroy(new Error('torn'));
  await expect(reading).rejects.toThrow('torn');
});

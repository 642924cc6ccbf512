import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  AttentionAbortError,
  AttentionClient,
  AttentionConnectionError,
  AttentionDeadlineError,
  type AttentionSession,
} from '../../src/client/index.ts';
import { TOKENS, TWO_HEADS } from '../http/layers/support.ts';
import { matrix } from '../http/sessions/layers.ts';
import { listen, type TestService } from '../http/support.ts';
import { seeded } from '../support/random.ts';

let service: TestService;
let client: AttentionClient;
beforeAll(async () => {
  service = await listen();
  client = new AttentionClient(service.url);
  await client.layers.put('two-heads', TWO_HEADS);
});
afterAll(async () => {
  await client.close();
  await service.close();
});

const MANY = matrix(seeded(4), 12, 4);

/** What one pass gives, a row for each token. */
async function wholeOf(tokens: readonly (readonly number[])[]): Promise<Float32Array[]> {
  const { output } = await client.layerAttention('two-heads', { embeddings: tokens, causal: true });
  const data = output.data as Float32Array;
  return tokens.map((_, row) => data.subarray(4 * row, 4 * row + 4));
}

describe('a session', () => {
  let session: AttentionSession;
  beforeEach(async () => {
    session = await client.sessions.begin({ layer: 'two-heads', max_length: 100 });
  });

  it('says what it is, and gives token by token what one pass gives', async () => {
    const { etag } = await client.layers.get('two-heads');
    expect(session).toMatchObject({
      layer: 'two-heads',
      etag,
      maxLength: 100,
      precision: 'float32',
      position: 0,
    });
    const whole = await wholeOf(TOKENS);
    for (const [row, token] of TOKENS.entries()) {
      const embeddings = { shape: [1, 4], data: Float32Array.from(token) };
      const { output, position, weights } = await session.append({ embeddings, return: { weights: true } });
      expect(output.data).toEqual(whole[row]);
      expect(weights.shape).toEqual([2, 1, row + 1]);
      expect(position).toBe(row + 1);
      expect(session.position).toBe(row + 1);
    }
    expect(await session.describe()).toMatchObject({ session_id: session.id, position: 3 });
  });

  it('takes appends that are called at once in their order', async () => {
    const whole = await wholeOf(MANY);
    const results = await Promise.all(MANY.map((token) => session.append({ embeddings: [token] })));
    expect(results.map(({ position }) => position)).toEqual(MANY.map((_, row) => row + 1));
    for (const [row, { output }] of results.entries()) {
      for (const [c, number] of output.data.entries()) expect(number).toBeCloseTo(whole[row][c], 5);
    }
  });

  it('is found again by its id, where it stands', async () => {
    await session.append({ embeddings: TOKENS.slice(0, 2) });
    const found = await client.sessions.find(session.id);
    expect(found.position).toBe(2);
    expect((await found.append({ embeddings: TOKENS.slice(2) })).position).toBe(3);
    // The other one does not know of that.
    const late = session.append({ embeddings: [[9, 9, 9, 9]] });
    await expect(late).rejects.toMatchObject({ status: 409, code: 'position_conflict' });
    expect(session.position).toBe(2);
  });

  it('is over when it has ended', async () => {
    await session.append({ embeddings: TOKENS });
    await session.end();
    const lost = { status: 410, code: 'session_lost' };
    await expect(session.append({ embeddings: TOKENS })).rejects.toMatchObject(lost);
    await expect(session.describe()).rejects.toMatchObject(lost);
    await expect(session.end()).rejects.toMatchObject(lost);
    await expect(client.sessions.find('never')).rejects.toMatchObject({ status: 404, code: 'not_found' });
    await expect(client.sessions.begin({ layer: 'none' })).rejects.toMatchObject({ code: 'not_found' });
  });

  it('goes on after an append that is refused, and lets none that was called behind it take its place', async () => {
    const [first, wide, last] = await Promise.allSettled([
      session.append({ embeddings: TOKENS.slice(0, 1) }),
      session.append({ embeddings: [[1, 2, 3, 4, 5]] }),
      session.append({ embeddings: TOKENS.slice(2) }),
    ]);
    expect(first).toMatchObject({ status: 'fulfilled' });
    expect(wide).toMatchObject({ reason: { status: 422, code: 'shape_mismatch' } });
    expect(last).toMatchObject({ reason: { status: 409, code: 'position_conflict' } });
    expect((await session.append({ embeddings: TOKENS.slice(1) })).position).toBe(3);
  });
});

describe('behind a gateway that loses answers, or takes its time', () => {
  let gateway: Server;
  let broken: AttentionClient;
  /** How many of the next answers are lost, after the service has given them. */
  let losses: number;
  let forwarded: string[];
  /** What requests are held back for. */
  let opened: Promise<void>;

  beforeEach(async () => {
    losses = 0;
    forwarded = [];
    opened = Promise.resolve();
    gateway = createServer(async (incoming, outgoing) => {
      const { method, url = '', headers } = incoming;
      forwarded.push(`${method} ${url}`);
      await opened;
      if (outgoing.destroyed) return;
      const answered = (answer: IncomingMessage) => {
        if (losses > 0) {
          losses--;
          answer.resume().once('end', () => outgoing.destroy());
          return;
        }
        outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(outgoing);
      };
      incoming.pipe(forward(service.url + url, { method, headers }, answered));
    }).listen(0, '127.0.0.1');
    await once(gateway, 'listening');
    const { port } = gateway.address() as AddressInfo;
    broken = new AttentionClient(`http://127.0.0.1:${port}`, { pauseMs: 1, retries: 2 });
  });
  afterEach(async () => {
    await broken.close();
    gateway.closeAllConnections();
    gateway.close();
  });

  it('appends are answered again and applied once', async () => {
    const session = await broken.sessions.begin({ layer: 'two-heads' });
    const whole = await wholeOf(TOKENS);
    for (const [row, token] of TOKENS.entries()) {
      losses = 2;
      const { output } = await session.append({ embeddings: [token] });
      expect(output.data).toEqual(whole[row]);
    }
    expect(forwarded.filter((line) => line.endsWith('/append'))).toHaveLength(3 * TOKENS.length);
    expect(await session.describe()).toMatchObject({ position: 3 });
  });

  it('the caller may send one again that got no answer at all', async () => {
    const session = await broken.sessions.begin({ layer: 'two-heads' });
    losses = 3;
    const lost = session.append({ embeddings: TOKENS });
    const behind = session.append({ embeddings: MANY.slice(0, 1) });
    await expect(lost).rejects.toBeInstanceOf(AttentionConnectionError);
    // It was applied all the same, so what was called behind it fits.
    expect((await behind).position).toBe(4);
    losses = 3;
    const again = { embeddings: MANY.slice(1, 3) };
    await expect(session.append(again)).rejects.toBeInstanceOf(AttentionConnectionError);
    expect(session.position).toBe(4);
    expect((await session.append(again)).position).toBe(6);
    expect(await session.describe()).toMatchObject({ position: 6 });
  });

  it('an append that waits for another keeps its own deadline and signal', async () => {
    const session = await broken.sessions.begin({ layer: 'two-heads' });
    const gate = Promise.withResolvers<void>();
    opened = gate.promise;
    const controller = new AbortController();
    const { signal } = controller;
    const first = session.append({ embeddings: TOKENS }, { signal });
    const second = session.append({ embeddings: TOKENS }, { deadlineMs: 30 });
    const third = session.append({ embeddings: TOKENS }, { signal });
    await expect(second).rejects.toBeInstanceOf(AttentionDeadlineError);
    controller.abort();
    await expect(first).rejects.toBeInstanceOf(AttentionAbortError);
    await expect(third).rejects.toBeInstanceOf(AttentionAbortError);
    gate.resolve();
    expect((await session.append({ embeddings: TOKENS })).position).toBe(3);
    expect(forwarded.filter((line) => line.endsWith('/append')).length).toBeLessThanOrEqual(2);
  });

  it('a session is not begun twice, and is ended once', async () => {
    losses = 1;
    const begun = broken.sessions.begin({ layer: 'two-heads' });
    await expect(begun).rejects.toBeInstanceOf(AttentionConnectionError);
    expect(forwarded).toEqual(['POST /v1/sessions']);
    const session = await broken.sessions.begin({ layer: 'two-heads' });
    losses = 1;
    await session.end();
    expect(forwarded.filter((line) => line.startsWith('DELETE'))).toHaveLength(2);
    await expect(session.describe()).rejects.toMatchObject({ code: 'session_lost' });
  });

  it('a layer is written under a condition once, and without one until it is answered', async () => {
    const { etag } = await broken.layers.put('lossy', TWO_HEADS);
    losses = 1;
    const changed = { ...TWO_HEADS, scale: 0.4 };
    const conditional = broken.layers.put('lossy', changed, { ifMatch: etag });
    await expect(conditional).rejects.toBeInstanceOf(AttentionConnectionError);
    expect((await broken.layers.get('lossy')).options).toMatchObject({ scale: 0.4 });
    losses = 2;
    expect((await broken.layers.put('lossy', TWO_HEADS)).etag).toBe(etag);
    losses = 2;
    await broken.layers.delete('lossy');
    await expect(broken.layers.get('lossy')).rejects.toMatchObject({ code: 'not_found' });
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MemoryStore } from '../../../src/store/memory.ts';
import type { Entry } from '../../../src/store/store.ts';
import { engineReaches, listen, post, send } from '../support.ts';
import { put, TOKENS, TWO_HEADS } from './support.ts';

/** A store whose answers may be long on their way, so that what they say is not so any more. */
class SlowStore extends MemoryStore {
  #asked: (() => void) | null = null;
  #mayAnswer: Promise<void> = Promise.resolve();

  /** Holds the next answer back until `answer` is called; `asked` resolves when somebody waits for it. */
  holdNext(): { asked: Promise<void>; answer: () => void } {
    const asked = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    this.#asked = asked.resolve;
    this.#mayAnswer = gate.promise;
    return { asked: asked.promise, answer: gate.resolve };
  }

  override async find(name: string): Promise<Entry> {
    const entry = await super.find(name);
    if (this.#asked === null) return entry;
    this.#asked();
    this.#asked = null;
    await this.#mayAnswer;
    return entry;
  }
}

/** Longer than what was seen of a layer is taken for what is there. */
const NO_LONGER_FRESH_MS = 1100;

const CHANGED = { ...TWO_HEADS, projections: { ...TWO_HEADS.projections, b_v: [1, 2, 3, 4] } };

test('an answer of the store that comes late brings no weights back that were replaced, or a layer that is gone', async () => {
  const store = new SlowStore();
  const { url, close } = await listen({ store });
  try {
    const layer = `${url}/v1/layers/demo`;
    const call = async () => {
      const { status, json } = await post(`${layer}/attention`, { embeddings: TOKENS });
      return [status, status === 200 ? json.output : json.code];
    };
    await put(layer, CHANGED);
    const changed = await call();
    await put(layer, TWO_HEADS);
    const before = await call();
    expect([before[0], changed[0]]).toEqual([200, 200]);
    expect(changed).not.toEqual(before);

    await sleep(NO_LONGER_FRESH_MS);
    const replacing = store.holdNext();
    const early = call();
    await replacing.asked;
    await put(layer, CHANGED);
    replacing.answer();
    // Begun before the layer was changed, so either is right; but the content that it found is not in the store any more.
    expect([before, changed]).toContainEqual(await early);
    expect(await call()).toEqual(changed);

    await sleep(NO_LONGER_FRESH_MS);
    const deleting = store.holdNext();
    const late = call();
    await deleting.asked;
    expect((await send(layer, { method: 'DELETE' })).status).toBe(204);
    deleting.answer();
    await late;
    expect(await call()).toEqual([404, 'not_found']);
  } finally {
    await close();
  }
});

test('a file that was replaced while it was looked for is the one that replaced it', async () => {
  const store = new SlowStore();
  const { url, close } = await listen({ store });
  try {
    const layer = `${url}/v1/layers/demo`;
    await put(layer, TWO_HEADS);
    const held = store.holdNext();
    const file = send(`${layer}/projections`);
    await held.asked;
    const { headers } = await put(layer, CHANGED);
    held.answer();
    expect(await file).toMatchObject({ status: 200, headers: { etag: headers.etag } });
    const { json } = await send(`${url}/v1/layers`);
    expect(json.layers).toMatchObject([{ name: 'demo', etag: String(headers.etag).slice(1, -1) }]);
    // The content that was gone is there when it is registered again.
    await put(layer, TWO_HEADS);
    expect((await send(`${url}/v1/layers`)).json.layers).toHaveLength(1);
  } finally {
    await close();
  }
});

test('of many that change a layer at once without a condition nobody is refused', async () => {
  const { url, close } = await listen();
  try {
    const layer = `${url}/v1/layers/demo`;
    const changes = Array.from({ length: 60 }, (_, index) => put(layer, { ...TWO_HEADS, scale: index + 1 }));
    const replies = await Promise.all(changes);
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(59);
    expect(replies.map(({ headers }) => headers.etag)).toContain((await send(layer)).headers.etag);
  } finally {
    await close();
  }
});

test('a deadline passes while the store is silent', async () => {
  const store = new SlowStore();
  const { url, engine, close } = await listen({ store });
  try {
    const layer = `${url}/v1/layers/demo`;
    await put(layer, TWO_HEADS);
    const headers = { 'content-type': 'application/json', 'x-deadline-ms': '100' };
    const requests: [string, 'PUT' | 'POST', object][] = [
      [`${layer}/attention`, 'POST', { embeddings: TOKENS }],
      [layer, 'PUT', CHANGED],
      [`${url}/v1/sessions`, 'POST', { layer: 'demo' }],
    ];
    for (const [address, method, body] of requests) {
      await sleep(NO_LONGER_FRESH_MS);
      const held = store.holdNext();
      const reply = await send(address, { method, headers, body: JSON.stringify(body) });
      expect([reply.status, reply.json.code], address).toEqual([504, 'deadline_exceeded']);
      held.answer();
    }
    await engineReaches(engine, (stats) => stats.requests === 0);
  } finally {
    await close();
  }
});

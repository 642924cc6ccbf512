import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import { put, TWO_HEADS } from './layers/support.ts';
import { engineReaches, listen, type TestService } from './support.ts';

/** A store that can be made to keep whoever asks for a layer waiting. */
class WaitingStore extends MemoryStore {
  asked = Promise.withResolvers<void>();
  mayAnswer: Promise<void> = Promise.resolve();

  override async find(name: string) {
    this.asked.resolve();
    await this.mayAnswer;
    return super.find(name);
  }
}

const store = new WaitingStore();
let service: TestService;
beforeAll(async () => {
  service = await listen({ store });
  await put(`${service.url}/v1/layers/demo`, TWO_HEADS);
});
afterAll(() => service.close());

const BODY = '{"inputs": []}';
const REQUESTS = {
  'the file of a layer': 'GET /v1/layers/demo/projections HTTP/1.1\r\nHost: a\r\n\r\n',
  inference: [
    'POST /v2/models/demo/infer HTTP/1.1',
    'Host: a',
    'Content-Type: application/json',
    `Content-Length: ${BODY.length}`,
    '',
    BODY,
  ].join('\r\n'),
};

test.each(Object.entries(REQUESTS))(
  'a client that goes while its layer is looked for leaves no place taken: %s',
  async (_, text) => {
    // What was seen of a layer a moment ago is not looked for again.
    await sleep(1100);
    const gate = Promise.withResolvers<void>();
    store.asked = Promise.withResolvers();
    store.mayAnswer = gate.promise;
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1', () => socket.write(text));
    await store.asked.promise;
    socket.resetAndDestroy();
    await sleep(50);
    gate.resolve();
    await sleep(50);
    await engineReaches(service.engine, ({ requests }) => requests === 0);
    // The request that came after takes the place that it left, and its memory.
    expect(service.engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0 });
  },
);

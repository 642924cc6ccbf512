import { afterAll, beforeAll, expect, test } from 'vitest';
import { listen, type TestService } from '../http/support.ts';
import { seeded } from '../support/random.ts';
import { damagedBody, decodesRightOrRefuses, type SentBody } from '../wire/kserve/damage.ts';

/** As many bodies as `FUZZ_BODIES` says, of another seed each time unless `FUZZ_SEED` gives one. */
const BODIES = Number(process.env.FUZZ_BODIES ?? 200_000);
const REQUESTS = Math.ceil(BODIES / 40);
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const TIMEOUT = 120_000 + 2 * BODIES;

let service: TestService;
beforeAll(async () => {
  service = await listen({ threads: 1 });
});
afterAll(() => service.close());

function told(count: number, { body, headerBytes }: SentBody): string {
  return `body ${count} of FUZZ_SEED=${SEED}, ${headerBytes}: ${Buffer.from(body).toString('hex')}`;
}

test(`${BODIES} damaged bodies are decoded to what they say, or refused`, { timeout: TIMEOUT }, () => {
  const random = seeded(SEED);
  const counts = { decoded: 0, refused: 0 };
  for (let count = 0; count < BODIES; count++) {
    const sent = damagedBody(random);
    try {
      counts[decodesRightOrRefuses(sent) ? 'decoded' : 'refused']++;
    } catch (cause) {
      throw new Error(told(count, sent), { cause });
    }
  }
  console.log(`${counts.decoded} decoded, ${counts.refused} refused (FUZZ_SEED=${SEED})`);
});

test(`${REQUESTS} damaged requests are answered, or refused as the protocol says`, {
  timeout: TIMEOUT,
}, async () => {
  const random = seeded(SEED + 1);
  const counts = new Map<number, number>();
  for (let count = 0; count < REQUESTS; count++) {
    const sent = damagedBody(random);
    const length =
      sent.headerBytes === undefined ? {} : { 'inference-header-content-length': `${sent.headerBytes}` };
    const reply = await fetch(`${service.url}/v2/models/scaled-dot-product-attention/infer`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', ...length },
      body: Uint8Array.from(sent.body),
    });
    const answer = new Uint8Array(await reply.arrayBuffer());
    counts.set(reply.status, (counts.get(reply.status) ?? 0) + 1);
    if (reply.status === 200) continue;
    const text = Buffer.from(answer).toString();
    // A timeout of some microseconds may have survived the damage.
    const isRefusal = (reply.status >= 400 && reply.status < 500) || reply.status === 504;
    expect(isRefusal, `${told(count, sent)}: ${reply.status} ${text}`).toBe(true);
    expect(reply.headers.get('content-type')).toBe('application/json');
    expect(JSON.parse(text)).toEqual({ error: expect.stringMatching(/./) });
  }
  console.log(`${[...counts].sort().map(([status, count]) => `${status}: ${count}`)} (FUZZ_SEED=${SEED})`);
  expect(service.engine.stats()).toMatchObject({ workersLost: 0 });
});

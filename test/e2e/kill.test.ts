import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { expect, test } from 'vitest';
import { put, TWO_HEADS } from '../http/layers/support.ts';
import { send } from '../http/support.ts';
import { seeded } from '../support/random.ts';
import { type ServiceProcess, startService } from '../support/service-process.ts';

const REGISTRATIONS = 200;
const CLIENTS = 4;
const NAMES = 12;
/** Answers after which the process is killed, at the most. */
const LONGEST_LIFE = 40;

/** What a name may have: what was answered last, and whatever was sent after that and not answered. */
interface Expectation {
  answered: string | null;
  open: string[];
}

/** A layer of some size whose content depends on a number. */
function layerOf(number: number): object {
  return { ...TWO_HEADS, scale: number, rope: { pairing: 'half', cos: table(number), sin: table(number) } };
}

function table(number: number): number[][] {
  return Array.from({ length: 400 }, (_, row) => [(row % 7) + number]);
}

test(`a service that is killed over and over loses nothing of ${REGISTRATIONS} registrations`, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'killed-'));
  const random = seeded(20);
  const names = new Map<string, Expectation>();
  const contents = new Map<string, string>();
  let sent = 0;
  let answered = 0;
  let kills = 0;

  /** Registers until the service is gone. */
  async function register(service: ServiceProcess, client: number, onAnswer: () => void): Promise<void> {
    while (answered < REGISTRATIONS) {
      const number = ++sent;
      // A name belongs to one client, so that the order of its contents is known.
      const name = `layer-${client + CLIENTS * Math.floor(random.uniform() * (NAMES / CLIENTS))}`;
      const expected = names.get(name) ?? { answered: null, open: [] };
      names.set(name, expected);
      const label = String(number);
      expected.open.push(label);
      const reply = await put(`${service.url}/v1/layers/${name}`, layerOf(number)).catch(() => null);
      if (reply === null) return;
      expect([200, 201]).toContain(reply.status);
      contents.set(label, reply.json.etag);
      expected.answered = label;
      expected.open = [];
      answered++;
      onAnswer();
    }
  }

  /** Checks every name against what may be there. */
  async function check({ url }: ServiceProcess): Promise<void> {
    const { json } = await send(`${url}/v1/layers`);
    const found = new Map<string, string>(
      json.layers.map(({ name, etag }: { name: string; etag: string }) => [name, etag]),
    );
    for (const [name, { answered: label, open }] of names) {
      const etag = found.get(name);
      if (etag === undefined) expect(label, name).toBeNull();
      else if (label === null || etag !== contents.get(label)) expect(open.length, name).toBeGreaterThan(0);
      if (etag === undefined) continue;
      const { statusCode, body } = await request(`${url}/v1/layers/${name}/projections`);
      const file = Buffer.from(await body.arrayBuffer());
      expect([statusCode, createHash('sha256').update(file).digest('hex')]).toEqual([200, etag]);
      names.set(name, { answered: `${name} as found`, open: [] });
      contents.set(`${name} as found`, etag);
    }
  }

  try {
    while (answered < REGISTRATIONS) {
      const service = await startService({ env: { DATA_DIR: folder, THREADS: '1', LOG_LEVEL: 'info' } });
      await check(service);
      let left = 1 + Math.floor(random.uniform() * LONGEST_LIFE);
      const killAt = Promise.withResolvers<void>();
      const work = Array.from({ length: CLIENTS }, (_, client) =>
        register(service, client, () => {
          if (--left === 0) killAt.resolve();
        }),
      );
      await Promise.race([killAt.promise, Promise.all(work)]);
      service.kill('SIGKILL');
      await service.exited;
      await Promise.all(work);
      kills++;
    }
    const service = await startService({ env: { DATA_DIR: folder, THREADS: '1' } });
    await check(service);
    expect(service.lines.filter((line) => line.includes('damaged'))).toEqual([]);
    await service.stop();
    console.log(`${answered} registrations answered, ${sent} sent, ${kills} kills`);
    expect(kills).toBeGreaterThan(REGISTRATIONS / LONGEST_LIFE);
  } finally {
    await rm(folder, { recursive: true });
  }
}, 300_000);

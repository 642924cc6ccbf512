import { expect, test } from 'vitest';
import { seeded } from '../support/random.ts';
import { f32, pack } from '../support/safetensors.ts';
import { damagedFile, readsExactlyOrRefuses } from '../wire/safetensors/damage.ts';

/** As many files as `FUZZ_FILES` says, of another seed each time unless `FUZZ_SEED` gives one. */
const FILES = Number(process.env.FUZZ_FILES ?? 1_000_000);
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const TIMEOUT = 60_000 + FILES;

const FILE = pack(
  {
    query: f32([2, 2], [1, 2, 3, 4]),
    allow_mask: { dtype: 'BOOL', shape: [1, 3], bytes: Uint8Array.of(1, 0, 1) },
    bias: f32([1, 0], []),
  },
  { request: '{"causal":"none"}', note: 'é' },
);

test('a file with any one byte changed to any other is read to the letter or refused', () => {
  const changed = Uint8Array.from(FILE);
  for (let at = 0; at < FILE.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      changed[at] = byte;
      readsExactlyOrRefuses(changed);
    }
    changed[at] = FILE[at];
  }
});

test('a file that is cut anywhere, or goes on, is refused', () => {
  for (let length = 0; length < FILE.length; length++) {
    expect(readsExactlyOrRefuses(FILE.slice(0, length))).toBe(false);
  }
  expect(readsExactlyOrRefuses(Buffer.concat([FILE, new Uint8Array(1)]))).toBe(false);
  expect(readsExactlyOrRefuses(FILE)).toBe(true);
});

test(`${FILES} damaged files are read to the letter or refused`, { timeout: TIMEOUT }, () => {
  const random = seeded(SEED);
  const counts = { read: 0, refused: 0 };
  const startMs = performance.now();
  for (let count = 0; count < FILES; count++) {
    const file = damagedFile(random);
    try {
      counts[readsExactlyOrRefuses(file) ? 'read' : 'refused']++;
    } catch (cause) {
      const hex = Buffer.from(file).toString('hex');
      throw new Error(`file ${count} of FUZZ_SEED=${SEED}, ${hex}`, { cause });
    }
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  console.log(`${counts.read} read, ${counts.refused} refused, in ${seconds} s (FUZZ_SEED=${SEED})`);
});

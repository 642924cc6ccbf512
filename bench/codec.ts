import { parseArgs } from 'node:util';
import { DEFAULT_LIMITS } from '../src/domain/limits.ts';
import type { TensorEncoding } from '../src/wire/format.ts';
import { decodeJson } from '../src/wire/json/decode.ts';
import { encodeJson } from '../src/wire/json/encode.ts';
import { codecAddon } from '../src/wire/native/addon.ts';
import { minimum } from './measure.ts';
import { machine } from './report.ts';

/*
 * The JSON codec alone, on one thread, beside what JavaScript has built in: one tensor of the shape base, 512 tokens of
 * width 768. Everyone's result is checked before it is timed; all take turns, and the best time of each is told.
 */

const [TOKENS, WIDTH] = [512, 768];

interface Contender {
  readonly name: string;
  readonly run: () => unknown;
}

interface Row {
  readonly name: string;
  readonly bytes: number;
  /** The built-in one first: the others are compared with it. */
  readonly contenders: readonly Contender[];
  readonly check: (result: unknown) => boolean;
}

/** Normal numbers, as embeddings are. */
function embeddings(): number[] {
  const uniform = () => 1 - Math.random();
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return Array.from({ length: TOKENS * WIDTH }, normal);
}

function rowsOf(items: { slice(from: number, to: number): ArrayLike<number> }): number[][] {
  return Array.from({ length: TOKENS }, (_, row) => Array.from(items.slice(row * WIDTH, (row + 1) * WIDTH)));
}

/** A body as the service has it. */
function onSharedMemory(text: string): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(Buffer.byteLength(text)));
  bytes.set(Buffer.from(text));
  return bytes;
}

const CODECS = [
  ...(codecAddon === null ? [] : [{ name: 'native', addon: codecAddon }]),
  { name: 'portable', addon: null },
];

function parseRow(
  name: string,
  query: unknown,
  expected: Float32Array,
  builtIn: (body: string) => unknown,
): Row {
  const body = onSharedMemory(JSON.stringify({ query }));
  const options = { fields: { query: 'real' }, limits: DEFAULT_LIMITS } as const;
  const text = () => Buffer.from(body.buffer).toString();
  return {
    name: `parse ${name}`,
    bytes: body.length,
    contenders: [
      { name: 'built in', run: () => builtIn(text()) },
      ...CODECS.map(({ name, addon }) => ({
        name,
        run: () => decodeJson(body, options, addon).tensors.query.data,
      })),
    ],
    check: (result) => {
      const got = result instanceof Float32Array ? result : Float32Array.from((result as number[][]).flat());
      return Buffer.from(got.buffer, got.byteOffset, got.byteLength).equals(Buffer.from(expected.buffer));
    },
  };
}

function formatRow(
  name: string,
  data: Float32Array | Float64Array,
  encoding: TensorEncoding,
  builtIn: () => string,
): Row {
  const dtype = data instanceof Float32Array ? 'float32' : 'float64';
  const answer = { tensors: { output: { dtype, shape: [TOKENS, WIDTH], data } }, envelope: {} } as const;
  const run = (addon: typeof codecAddon) => encodeJson(answer, { encoding }, addon);
  const written = run(null);
  return {
    name: `format ${name}`,
    bytes: written.length,
    contenders: [
      { name: 'built in', run: () => Buffer.from(builtIn()) },
      ...CODECS.map(({ name, addon }) => ({ name, run: () => run(addon) })),
    ],
    check: (result) => readsBack(result as Uint8Array, encoding, data),
  };
}

/** Whether the text means the numbers, to the precision that they have. */
function readsBack(text: Uint8Array, encoding: TensorEncoding, data: Float32Array | Float64Array): boolean {
  const output = JSON.parse(Buffer.from(text).toString()).output;
  const values = encoding === 'nested' ? output.flat() : output.data;
  const decoded =
    typeof values === 'string'
      ? new Float32Array(Uint8Array.from(Buffer.from(values, 'base64')).buffer)
      : values;
  return data.every(
    (value, index) => (data instanceof Float32Array ? Math.fround(decoded[index]) : decoded[index]) === value,
  );
}

function allRows(): Row[] {
  const wide = embeddings();
  const narrow = Float32Array.from(wide);
  const short = JSON.parse(Buffer.from(shortestTexts(narrow)).toString()) as number[][];
  const base64 = Buffer.from(narrow.buffer).toString('base64');
  const object = (data: unknown) => ({ dtype: 'float32', shape: [TOKENS, WIDTH], data });
  const nested = (body: string) => JSON.parse(body).query;
  const flat = (body: string) => new Float32Array(JSON.parse(body).query.data);
  const fromBase64 = (body: string) => {
    const { buffer, byteOffset, byteLength } = Buffer.from(JSON.parse(body).query.data, 'base64');
    return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  };
  return [
    parseRow('nested, float64 digits', rowsOf(wide), narrow, nested),
    parseRow('nested, float32 digits', short, narrow, nested),
    parseRow('flat, float64 digits', object(wide), narrow, flat),
    parseRow('base64', object(base64), narrow, fromBase64),
    formatRow('nested float32', narrow, 'nested', () => JSON.stringify({ output: rowsOf(narrow) })),
    formatRow('flat float32', narrow, 'flat', () => JSON.stringify({ output: object(Array.from(narrow)) })),
    formatRow('base64', narrow, 'base64', () =>
      JSON.stringify({ output: object(Buffer.from(narrow.buffer).toString('base64')) }),
    ),
    formatRow('nested float64', Float64Array.from(wide), 'nested', () =>
      JSON.stringify({ output: rowsOf(wide) }),
    ),
  ];
}

function shortestTexts(data: Float32Array): Uint8Array {
  const answer = {
    tensors: { x: { dtype: 'float32', shape: [TOKENS, WIDTH], data } },
    envelope: {},
  } as const;
  const text = Buffer.from(encodeJson(answer, { encoding: 'nested' }, null)).toString();
  return Buffer.from(text.slice('{"x":'.length, -1));
}

/** Best time of each contender, in milliseconds. */
function measure({ name, contenders, check }: Row, rounds: number): number[] {
  for (const contender of contenders) {
    if (!check(contender.run())) throw new Error(`${name}: ${contender.name} gives another result`);
  }
  const samples = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { run }] of contenders.entries()) {
      const start = performance.now();
      run();
      samples[index].push(performance.now() - start);
    }
  }
  return samples.map(minimum);
}

function main(): void {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '60' } } });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds expects a positive integer; got ${values.rounds}.`);
  console.log(`${machine()}; ${TOKENS} x ${WIDTH} numbers, best of ${rounds} rounds`);
  if (codecAddon === null)
    console.log('The native codec is not compiled: node scripts/build-native.mjs json');
  console.log(
    `${'row'.padEnd(30)}${'MB'.padStart(6)}${'codec'.padStart(11)}${'ms'.padStart(9)}${'GB/s'.padStart(8)}${'built in / it'.padStart(15)}`,
  );
  for (const row of allRows()) {
    const times = measure(row, rounds);
    for (const [index, { name }] of row.contenders.entries()) {
      const head =
        index === 0 ? row.name.padEnd(30) + (row.bytes / 1e6).toFixed(2).padStart(6) : ' '.repeat(36);
      const ms = times[index];
      const rate = (row.bytes / ms / 1e6).toFixed(2).padStart(8);
      console.log(
        `${head}${name.padStart(11)}${ms.toFixed(2).padStart(9)}${rate}${(times[0] / ms).toFixed(2).padStart(15)}`,
      );
    }
  }
}

main();

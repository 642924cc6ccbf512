import { describe, expect, it } from 'vitest';
import type { Answer, AnswerTensor } from '../../src/domain/answer.ts';
import { encodeInference } from '../../src/wire/kserve/encode.ts';
import { npy } from '../../src/wire/npy.ts';
import { encodeSafetensors } from '../../src/wire/safetensors/encode.ts';
import { answerBytes, headedBytes, lending, sharedFloat32 } from '../../src/wire/shared-memory.ts';

const NUMBERS = [1, 2.5, -3];

/** Numbers on shared memory behind other bytes, of which so many may be written over. */
function tensorBehind(lead: number, room: number | undefined): AnswerTensor {
  const memory = new SharedArrayBuffer(lead + 4 * NUMBERS.length);
  new Uint8Array(memory, 0, lead).fill(7);
  const data = new Float32Array(memory, lead);
  data.set(NUMBERS);
  return { dtype: 'float32', shape: [3], data, room };
}

const leadOf = ({ data }: AnswerTensor) => Array.from(new Uint8Array(data.buffer, 0, data.byteOffset));
const HEAD = Uint8Array.of(1, 2, 3, 4);
const BYTES = [...HEAD, ...new Uint8Array(Float32Array.from(NUMBERS).buffer)];

describe('memory that is lent', () => {
  const block = new SharedArrayBuffer(1000);
  const LARGE = 100_000;
  const asked: number[] = [];
  const more = (bytes: number) => {
    asked.push(bytes);
    return new SharedArrayBuffer(bytes + 24);
  };

  it('is used from a byte on, one behind the other', () => {
    const places = lending(block, () => [answerBytes(10), sharedFloat32(4)], { from: 5 });
    expect(places.map(({ buffer, byteOffset }) => [buffer === block, byteOffset])).toEqual([
      [true, 8],
      [true, 24],
    ]);
  });

  it.each([block, undefined])('is asked for where much does not fit, with %o lent', (lent) => {
    asked.length = 0;
    const [small, large] = lending(lent, () => [answerBytes(2000), answerBytes(LARGE)], { more });
    expect(small.buffer).toBeInstanceOf(ArrayBuffer);
    expect([large.buffer, large.length]).toEqual([expect.any(SharedArrayBuffer), LARGE]);
    expect(asked).toEqual([LARGE]);
  });

  it('is made where nobody has more, and lent no longer than for the work', () => {
    expect(lending(block, () => answerBytes(LARGE)).buffer).toBeInstanceOf(ArrayBuffer);
    expect(() =>
      lending(block, () => {
        throw new Error('at work');
      }),
    ).toThrow('at work');
    expect(answerBytes(10).buffer).toBeInstanceOf(ArrayBuffer);
  });
});

describe('an answer of a head and tensors', () => {
  it('stays where its tensor is, if there is room for the head', () => {
    const tensor = tensorBehind(8, 4);
    const bytes = headedBytes(HEAD, [tensor]);
    expect(Array.from(bytes)).toEqual(BYTES);
    expect(bytes.buffer).toBe(tensor.data.buffer);
    expect(leadOf(tensor)).toEqual([7, 7, 7, 7, 1, 2, 3, 4]);
  });

  it.each([3, 0, undefined])('is copied where the room is %s, and nothing is written over', (room) => {
    const tensor = tensorBehind(8, room);
    const bytes = headedBytes(HEAD, [tensor]);
    expect(Array.from(bytes)).toEqual(BYTES);
    expect(bytes.buffer).not.toBe(tensor.data.buffer);
    expect(leadOf(tensor)).toEqual(Array(8).fill(7));
  });

  it('is copied where there are several tensors', () => {
    const tensors = [tensorBehind(8, 8), tensorBehind(8, 8)];
    expect(Array.from(headedBytes(HEAD, tensors))).toEqual([...BYTES, ...BYTES.slice(HEAD.length)]);
    expect(tensors.map(leadOf)).toEqual([Array(8).fill(7), Array(8).fill(7)]);
  });

  const answerOf = (tensor: AnswerTensor): Answer => ({
    tensors: { output: tensor },
    envelope: { applied: {} },
  });
  const INFERENCE = {
    encoding: 'nested',
    inference: {
      model: 'm',
      version: '1',
      id: undefined,
      outputs: [{ name: 'output', binary: true }],
      binary: true,
    },
  } as const;

  it.each([
    ['safetensors', (answer: Answer) => encodeSafetensors(answer)],
    ['npy', (answer: Answer) => npy.encode(answer).bytes],
    ['a binary inference response', (answer: Answer) => encodeInference(answer, INFERENCE).bytes],
  ])('has the same bytes in either place, as %s', (_name, encode) => {
    const inPlace = tensorBehind(4096, 4096);
    const bytes = encode(answerOf(inPlace));
    expect(bytes.buffer).toBe(inPlace.data.buffer);
    expect(Array.from(bytes)).toEqual(Array.from(encode(answerOf(tensorBehind(4096, undefined)))));
  });
});

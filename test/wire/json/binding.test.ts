import { describe, expect, it } from 'vitest';
import {
  codecAddon,
  Expected,
  ReadPlace,
  ReadStop,
  WritePlace,
  WriteStop,
} from '../../../src/wire/native/addon.ts';
import { Random } from './numbers.ts';

/*
 * The addon checks all that it is given and reads and writes nothing beyond it: a wrong call is an exception, and never a
 * crash. Without a compiler there is no addon, and nothing here to hold to that.
 */

const addon = codecAddon as NonNullable<typeof codecAddon>;

/** A place at the start of the bytes, with nothing read. */
function placeAt(
  position = 0,
  overrides: Partial<Record<Exclude<keyof typeof ReadPlace, 'length'>, number>> = {},
) {
  const place = new Float64Array(ReadPlace.length);
  place.fill(-1, ReadPlace.sizes, ReadPlace.entries);
  place[ReadPlace.position] = position;
  for (const [name, value] of Object.entries(overrides)) place[ReadPlace[name as 'count']] = value;
  return place;
}

/** The text in bytes of its own size: sanitizers see whoever reads beyond them. */
function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(text.length));
  bytes.set(Buffer.from(text));
  return bytes;
}

function readAll(text: string, room = 100) {
  const bytes = bytesOf(text);
  const place = placeAt();
  const elements = new Float32Array(room);
  const stop = addon.readElements(bytes, bytes.length, place, elements);
  return { stop, place, elements: [...elements.subarray(0, place[ReadPlace.count])] };
}

describe.skipIf(codecAddon === null)('reading', () => {
  it('leaves behind the last bracket, with the sizes', () => {
    const { stop, place, elements } = readAll('[[1,2, 3],\n[4,5,6.5]] rest');
    expect(stop).toBe(ReadStop.done);
    expect(elements).toEqual([1, 2, 3, 4, 5, 6.5]);
    expect([...place.subarray(ReadPlace.rank, ReadPlace.entries)]).toEqual([2, 2, 3, -1, -1]);
    expect(place[ReadPlace.position]).toBe('[[1,2, 3],\n[4,5,6.5]]'.length);
  });

  it('goes on where there was no room', () => {
    const bytes = bytesOf('[[1,2],[3,4],[5,6]]');
    const place = placeAt();
    const elements = new Float32Array(6);
    for (let room = 0; room < 6; room++) {
      expect(addon.readElements(bytes, bytes.length, place, elements.subarray(0, room))).toBe(ReadStop.full);
      expect(place[ReadPlace.count]).toBe(room);
    }
    expect(addon.readElements(bytes, bytes.length, place, elements)).toBe(ReadStop.done);
    expect([...elements]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(place[ReadPlace.sizes]).toBe(3);
  });

  it('stops at a number that all digits decide, and at faults', () => {
    const undecided = readAll('[1,1.00000005960464477539062500000000000001,2]');
    expect(undecided.stop).toBe(ReadStop.undecided);
    expect(undecided.place[ReadPlace.position]).toBe(3);
    expect(undecided.elements).toEqual([1]);
    for (const text of [
      '[1',
      '[1,',
      '[1,]',
      '[01]',
      '[1.]',
      '[-]',
      '[1e]',
      '[1e+]',
      '[.5]',
      '[1 2]',
      '[[1],2]',
      '[1,[2]]',
    ]) {
      expect(readAll(text).stop, text).toBe(ReadStop.fault);
    }
    for (const text of [
      '',
      '1',
      ']',
      '[[1],[]]',
      '[[],[1]]',
      '[[[1]],[]]',
      '[[[[[1]]]]]',
      '[1e39]',
      '[NaN]',
      '["1"]',
      '[1,\u00002]',
    ]) {
      expect(readAll(text).stop, text).toBe(ReadStop.fault);
    }
  });

  it('reads nothing from the end on, wherever that is', () => {
    const text = '[[0.12345678901234567,-12.5e-3,1234567,8.5],[1,2,3,4.0000000000000000000001]]';
    for (let end = 0; end < text.length; end++) {
      expect(readAll(text.slice(0, end)).stop).toBe(ReadStop.fault);
      const place = placeAt();
      // What stands behind the end must not count.
      expect(addon.readElements(bytesOf(text), end, place, new Float64Array(9))).toBe(ReadStop.fault);
      expect(place[ReadPlace.position]).toBeLessThanOrEqual(end);
    }
  });

  it('refuses arguments that do not fit', () => {
    const bytes = bytesOf('[1,2]');
    const elements = new Float32Array(4);
    const read = addon.readElements as (...values: unknown[]) => number;
    const wrong: unknown[][] = [
      [],
      [bytes, 5, placeAt()],
      [[91, 49, 93], 3, placeAt(), elements],
      [new Int8Array(5), 5, placeAt(), elements],
      [bytes, 6, placeAt(), elements],
      [bytes, -1, placeAt(), elements],
      [bytes, 'all', placeAt(), elements],
      [bytes, 5, new Float64Array(ReadPlace.length - 1), elements],
      [bytes, 5, new Float32Array(ReadPlace.length), elements],
      [bytes, 5, placeAt(), new Int32Array(4)],
      [bytes, 5, placeAt(), null],
      [bytes, 5, placeAt(6), elements],
      [bytes, 5, placeAt(-1), elements],
      [bytes, 5, placeAt(0.5), elements],
      [bytes, 5, placeAt(Number.NaN), elements],
      [bytes, 5, placeAt(0, { count: 5 }), elements],
      [bytes, 5, placeAt(0, { count: 1, rowStart: 2 }), elements],
      [bytes, 5, placeAt(0, { expected: 3 }), elements],
      [bytes, 5, placeAt(0, { level: 5 }), elements],
      [bytes, 5, placeAt(0, { level: 2, rank: 1 }), elements],
      [bytes, 5, placeAt(0, { expected: Expected.next }), elements],
      [bytes, 5, placeAt(0, { expected: Expected.element }), elements],
      [bytes, 5, placeAt(0, { rank: 5 }), elements],
      [bytes, 5, placeAt(0, { sizes: -2 }), elements],
      [bytes, 5, placeAt(0, { entries: Number.POSITIVE_INFINITY }), elements],
    ];
    for (const values of wrong) expect(() => read(...values), String(values)).toThrow(RangeError);
  });

  it('takes any bytes from any place', () => {
    const random = new Random(7);
    const alphabet = Buffer.from('[[[]]],,,  0123456789.-+eE\ntruefalse');
    for (let run = 0; run < 20_000; run++) {
      const bytes = bytesOf(
        Array.from({ length: random.below(60) }, () =>
          String.fromCharCode(alphabet[random.below(alphabet.length)]),
        ).join(''),
      );
      const elements = [
        new Float32Array(random.below(8)),
        new Float64Array(random.below(8)),
        new Uint8Array(random.below(8)),
      ];
      const rank = random.below(5);
      const place = placeAt(random.below(bytes.length + 1), {
        expected: random.below(3),
        level: random.below(5),
        rank,
        count: random.below(4),
      });
      try {
        addon.readElements(bytes, bytes.length, place, elements[random.below(3)]);
        expect(place[ReadPlace.position]).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }
  });
});

describe.skipIf(codecAddon === null)('writing', () => {
  const values = Float32Array.of(0.1, -2, 1e-7, 3.4028235e38, -0, Number.NEGATIVE_INFINITY);
  const text = '[[0.1,-2,1e-7],[3.4028235e+38,0,null]]';
  const placeOf = (element: number, end: number, at: number) => Float64Array.of(element, end, at);
  const sizes = Float64Array.of(2, 3);

  it('goes on where there was no room, and writes nothing beyond it', () => {
    for (let room = 49; room < 120; room++) {
      const place = placeOf(0, 6, 0);
      let written = '';
      for (let stop: number = WriteStop.full; stop === WriteStop.full; ) {
        const bytes = new Uint8Array(room + 64).fill(0xff);
        stop = addon.writeElements(values, sizes, place, bytes.subarray(0, room));
        expect(bytes.subarray(room).every((byte) => byte === 0xff)).toBe(true);
        written += Buffer.from(bytes.subarray(0, place[WritePlace.at])).toString();
        place[WritePlace.at] = 0;
      }
      expect(written).toBe(text);
    }
  });

  it('stops at what no result may hold', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const data of [Float32Array.of(1, value), Float64Array.of(1, value)]) {
        const place = placeOf(0, 2, 0);
        expect(addon.writeElements(data, new Float64Array(0), place, new Uint8Array(200))).toBe(
          WriteStop.notWritable,
        );
        expect(place[WritePlace.element]).toBe(1);
      }
    }
  });

  it('refuses arguments that do not fit', () => {
    const bytes = new Uint8Array(100);
    const write = addon.writeElements as (...values: unknown[]) => number;
    const wrong: unknown[][] = [
      [],
      [values, sizes, placeOf(0, 6, 0)],
      [[1], sizes, placeOf(0, 6, 0), bytes],
      [new Int32Array(6), sizes, placeOf(0, 6, 0), bytes],
      [values, [2, 3], placeOf(0, 6, 0), bytes],
      [values, Float64Array.of(2, 2), placeOf(0, 6, 0), bytes],
      [values, Float64Array.of(0, 3), placeOf(0, 6, 0), bytes],
      [values, Float64Array.of(2 ** 40, 2 ** 40), placeOf(0, 6, 0), bytes],
      [values, Float64Array.of(1, 1, 1, 2, 3), placeOf(0, 6, 0), bytes],
      [values, sizes, placeOf(0, 7, 0), bytes],
      [values, sizes, placeOf(7, 6, 0), bytes],
      [values, sizes, placeOf(0, 6, 101), bytes],
      [values, sizes, placeOf(0, 6, Number.NaN), bytes],
      [values, sizes, placeOf(0, 6, 0), new Float64Array(8)],
    ];
    for (const arguments_ of wrong)
      expect(() => write(...arguments_), String(arguments_)).toThrow(RangeError);
  });
});

describe.skipIf(codecAddon === null)('looking for what is not finite', () => {
  it('takes floats, and nothing else', () => {
    const wrong = [new Uint8Array(4), new Int32Array(4), [1], null, undefined, new ArrayBuffer(8)];
    for (const value of wrong) expect(() => addon.firstNotFinite(value as never)).toThrow(RangeError);
    expect(() => (addon.firstNotFinite as () => number)()).toThrow(RangeError);
  });

  it('finds nothing in memory that has been given away', () => {
    const elements = new Float32Array(300).fill(Number.NaN);
    elements.buffer.transfer();
    expect(addon.firstNotFinite(elements)).toBe(-1);
  });
});

describe.skipIf(codecAddon === null)('copying bytes', () => {
  const from = bytesOf('abc');

  it('copies as set() does, and onto itself as well', () => {
    const to = bytesOf('.....');
    addon.copyBytes(from, to, 2);
    expect(Buffer.from(to).toString()).toBe('..abc');
    addon.copyBytes(to.subarray(2), to, 1);
    expect(Buffer.from(to).toString()).toBe('.abcc');
    addon.copyBytes(new Uint8Array(), to, 5);
    addon.copyBytes(new Uint8Array(), new Uint8Array(), 0);
  });

  it('goes nowhere else', () => {
    const to = bytesOf('...');
    for (const at of [-1, 1, 3, 4, 2 ** 40, -(2 ** 40), '0', undefined, null]) {
      expect(() => addon.copyBytes(from, to, at as number)).toThrow(RangeError);
    }
    for (const wrong of [[1, 2, 3], new ArrayBuffer(3), new Float32Array(3), null]) {
      expect(() => addon.copyBytes(wrong as never, to, 0)).toThrow(RangeError);
      expect(() => addon.copyBytes(from, wrong as never, 0)).toThrow(RangeError);
    }
    const gone = new Uint8Array(3);
    gone.buffer.transfer();
    expect(() => addon.copyBytes(from, gone, 0)).toThrow(RangeError);
    expect(Buffer.from(to).toString()).toBe('...');
  });
});

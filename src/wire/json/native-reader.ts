import { MAX_RANK } from '../dtypes.ts';
import { type CodecAddon, Expected, ReadPlace, ReadStop } from '../native/addon.ts';
import type { Cursor } from './cursor.ts';
import type { DecimalScanner } from './decimal-scanner.ts';
import { nearestFloat64, nearestNarrow } from './nearest.ts';
import { FLOAT32 } from './rounding.ts';
import type { ElementScratch } from './scratch.ts';

const place = new Float64Array(ReadPlace.length);

/**
 * Reads elements into scratch memory with the addon: float32, float64, or bytes for true and false, as the scratch is.
 * Where anything is wrong it says so and leaves the cursor where it was, for the portable reader to name the fault; so
 * there is one place that makes errors.
 */
export class NativeReader {
  readonly #addon: CodecAddon;
  readonly #cursor: Cursor;
  readonly #numbers: DecimalScanner;

  constructor(addon: CodecAddon, cursor: Cursor, numbers: DecimalScanner) {
    this.#addon = addon;
    this.#cursor = cursor;
    this.#numbers = numbers;
  }

  /**
   * Reads a row from after its opening bracket to after its closing one, behind the first `count` elements of the
   * scratch. Returns how many there are then, or -1.
   */
  readRow(scratch: ElementScratch, count: number): number {
    place.fill(0);
    place[ReadPlace.level] = 1;
    place[ReadPlace.rank] = 1;
    return this.#read(scratch, count) ? place[ReadPlace.count] : -1;
  }

  /**
   * Reads nested arrays from the first bracket to after the last one, of shape `known` where one is given. Returns their
   * shape, or undefined.
   */
  readNested(scratch: ElementScratch, known: readonly number[] = []): number[] | undefined {
    place.fill(0);
    place[ReadPlace.rank] = known.length;
    if (!this.#read(scratch, 0, known)) return undefined;
    return Array.from(place.subarray(ReadPlace.sizes, ReadPlace.sizes + place[ReadPlace.rank]));
  }

  #read(scratch: ElementScratch, count: number, sizes: readonly number[] = []): boolean {
    const { bytes, end, position } = this.#cursor;
    place[ReadPlace.position] = position;
    place[ReadPlace.count] = count;
    place[ReadPlace.rowStart] = count;
    place[ReadPlace.expected] = Expected.value;
    place.fill(-1, ReadPlace.sizes, ReadPlace.sizes + MAX_RANK);
    place.set(sizes, ReadPlace.sizes);
    for (;;) {
      const stop = this.#addon.readElements(bytes, end, place, scratch.array);
      if (stop === ReadStop.done) {
        this.#cursor.position = place[ReadPlace.position];
        return true;
      }
      if (stop === ReadStop.full) scratch.grow();
      else if (stop !== ReadStop.undecided || !this.#readUndecided(scratch.array)) return false;
    }
  }

  /** Reads the number at the place, of which the addon has seen all digits that it looks at. */
  #readUndecided(elements: Float32Array | Float64Array | Uint8Array): boolean {
    const numbers = this.#numbers;
    const start = place[ReadPlace.position];
    const end = numbers.scan(start);
    const value =
      elements instanceof Float32Array
        ? nearestNarrow(FLOAT32, numbers, this.#cursor, start, end)
        : nearestFloat64(numbers, this.#cursor, start, end);
    elements[place[ReadPlace.count]++] = value;
    place[ReadPlace.position] = end;
    place[ReadPlace.expected] = Expected.next;
    return Number.isFinite(value);
  }
}

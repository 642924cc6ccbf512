import { type Problem, problemAt } from '../../domain/problem.ts';
import { elementCount, formatShape } from '../../domain/tensor.ts';
import { type Elements, onSharedMemory, unravel } from '../dtypes.ts';
import { readArrays } from '../json/arrays.ts';
import { CLOSE_BRACKET, OPEN_BRACE, OPEN_BRACKET, QUOTE } from '../json/ascii.ts';
import type { Cursor } from '../json/cursor.ts';
import type { DecimalScanner } from '../json/decimal-scanner.ts';
import { describeValue, invalidTensor, type Location, notAnElement } from '../json/element-faults.ts';
import { ElementReader } from '../json/elements.ts';
import type { Datatype } from './datatypes.ts';

/**
 * Steps over the `data` of an input and returns where it starts. What its elements are, other members say, which may
 * come later; so the numbers are read when the whole body has been seen. An array of arrays and numbers, as it has to
 * be, ends where its brackets do.
 * @throws {Problem} invalid_request for what is no such array, malformed_body where it has no end.
 */
export function skipData(cursor: Cursor): number {
  const start = cursor.position;
  if (cursor.peek() !== OPEN_BRACKET) throw notData(cursor, start);
  const end = endOfFlat(cursor) ?? endOfNested(cursor);
  cursor.position = end;
  return start;
}

/** After the first closing bracket, where nothing but numbers and literals stands before it. */
function endOfFlat({ bytes: { buffer, byteOffset }, position, end }: Cursor): number | undefined {
  // A Buffer searches at the speed of memory.
  const rest = Buffer.from(buffer, byteOffset + position, end - position);
  const length = rest.indexOf(CLOSE_BRACKET);
  const content = rest.subarray(1, Math.max(length, 1));
  const isFlat = length > 0 && ![OPEN_BRACKET, QUOTE, OPEN_BRACE].some((byte) => content.includes(byte));
  return isFlat ? position + length + 1 : undefined;
}

function endOfNested(cursor: Cursor): number {
  const { bytes, end } = cursor;
  let depth = 0;
  for (let at = cursor.position; at < end; at++) {
    const byte = bytes[at];
    if (byte === OPEN_BRACKET) depth++;
    else if (byte === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return at + 1;
    } else if (byte === QUOTE || byte === OPEN_BRACE) throw notData(cursor, at);
  }
  throw cursor.malformed("Expected ']'", end);
}

function notData(cursor: Cursor, at: number): Problem {
  const got = describeValue(cursor, at);
  if (got === undefined) return cursor.malformed('Expected an array of numbers');
  const strings = got === 'a string' ? '. Strings (BYTES) are no input of any model' : '';
  const detail = `Expected an array of numbers, flat or nested; got ${got}${strings}`;
  return problemAt('invalid_request', cursor.pointer(), detail);
}

/**
 * Reads the `data` that the cursor stands at, flat or nested as the shape says.
 * @throws {Problem} invalid_tensor, with a pointer to the element; malformed_body for what is not JSON.
 */
export function readData(
  cursor: Cursor,
  numbers: DecimalScanner,
  datatype: Datatype,
  shape: readonly number[],
): Elements {
  return new DataReader(cursor, numbers, datatype, shape).read();
}

class DataReader {
  readonly #cursor: Cursor;
  readonly #datatype: Datatype;
  readonly #shape: readonly number[];
  readonly #elements: ElementReader;
  /** Of the row that is being read, where arrays are nested. */
  readonly #index: number[] = [];
  #isNested = false;

  constructor(cursor: Cursor, numbers: DecimalScanner, datatype: Datatype, shape: readonly number[]) {
    this.#cursor = cursor;
    this.#datatype = datatype;
    this.#shape = shape;
    this.#elements = new ElementReader(cursor, numbers, (ordinal) => this.#locate(ordinal));
  }

  read(): Elements {
    const cursor = this.#cursor;
    const { dtype } = this.#datatype;
    const start = cursor.position;
    cursor.position++;
    cursor.skipWhitespace();
    this.#isNested = this.#shape.length > 1 && cursor.peek() === OPEN_BRACKET;
    if (this.#isNested) {
      this.#readNested(start);
    } else {
      this.#elements.readRow(dtype, true);
      this.#checkCount();
    }
    const elements = this.#elements.elements(dtype);
    this.#checkRange(elements);
    return onSharedMemory(elements);
  }

  /** Nested arrays from their first bracket on: all at once, or row by row where that cannot be done. */
  #readNested(start: number): void {
    const cursor = this.#cursor;
    cursor.position = start;
    if (this.#elements.readNested(this.#datatype.dtype, this.#shape) !== undefined) return;
    cursor.position = start + 1;
    this.#readLevel(0);
  }

  /** One array of the nesting, from after its opening bracket to after its closing one. */
  #readLevel(axis: number): void {
    const cursor = this.#cursor;
    if (axis === this.#shape.length - 1) {
      const before = this.#elements.count;
      this.#elements.readRow(this.#datatype.dtype, true);
      this.#checkSize(axis, this.#elements.count - before);
      return;
    }
    const readArray = () => this.#readLevel(axis + 1);
    this.#checkSize(
      axis,
      readArrays(cursor, this.#index, readArray, () => this.#notAnArray()),
    );
  }

  #checkSize(axis: number, got: number): void {
    const expected = this.#shape[axis];
    if (got === expected) return;
    const where = `at index ${formatShape(this.#index)}, as shape ${formatShape(this.#shape)} says`;
    throw invalidTensor(
      this.#cursor.pointer(...this.#index),
      `Expected ${expected} entries ${where}; got ${got}`,
    );
  }

  #checkCount(): void {
    const expected = elementCount(this.#shape);
    const { count } = this.#elements;
    if (count === expected) return;
    const detail = `Expected ${expected} elements for shape ${formatShape(this.#shape)}; got ${count}`;
    throw problemAt('invalid_request', this.#cursor.pointer(), detail);
  }

  #checkRange(elements: Elements): void {
    const { range, name } = this.#datatype;
    if (range === undefined) return;
    const { least, greatest } = range;
    const outside = elements.findIndex((value) => value < least || value > greatest);
    if (outside < 0) return;
    const index = unravel(outside, this.#shape);
    const pointer = this.#cursor.pointer(...(this.#isNested ? index : [outside]));
    const what = `an integer from ${least} to ${greatest} (${name}) at index ${formatShape(index)}`;
    throw invalidTensor(pointer, `Expected ${what}; got ${elements[outside]}`);
  }

  #notAnArray(): Problem {
    const index = [...this.#index];
    const where = { pointer: this.#cursor.pointer(...index), index };
    return notAnElement(this.#cursor, this.#cursor.position, 'an array', where);
  }

  #locate(ordinal: number): Location {
    if (this.#isNested) {
      const index = [...this.#index, ordinal];
      return { pointer: this.#cursor.pointer(...index), index };
    }
    const isInside = ordinal < (elementCount(this.#shape) ?? 0);
    const index = isInside ? unravel(ordinal, this.#shape) : [ordinal];
    return { pointer: this.#cursor.pointer(ordinal), index };
  }
}

import { quoted } from '../../domain/quoted.ts';
import { DTYPES, type DType, type ElementKind, elementCount, formatShape } from '../../domain/tensor.ts';
import {
  ELEMENT_BYTES,
  type Elements,
  faultOfShape,
  MAX_RANK,
  onSharedMemory,
  readLittleEndian,
  unravel,
} from '../dtypes.ts';
import type { CodecAddon } from '../native/addon.ts';
import { CLOSE_BRACE, CLOSE_BRACKET, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE } from './ascii.ts';
import { decodeBase64 } from './base64.ts';
import type { Cursor } from './cursor.ts';
import type { DecimalScanner } from './decimal-scanner.ts';
import { describeValue, faultyElement, invalidTensor, type Location } from './element-faults.ts';
import { ElementReader } from './elements.ts';
import { DEFAULT_DTYPE, type LiftedTensor } from './lifted-tensor.ts';
import { enterMember, LONGEST_WORD, peekString, readString, readWord, skipString } from './strings.ts';

const MEMBERS = '{"dtype", "shape", "data"}';

/**
 * Reads the form `{"dtype", "shape", "data"}`, members in any order. The data is read as it comes where dtype
 * and shape stand before it, as they do in everything that common writers write; else it is stepped over and
 * read at the end.
 */
export class TensorObjectReader {
  readonly #cursor: Cursor;
  readonly #numbers: DecimalScanner;
  readonly #addon: CodecAddon | null;
  #dtype: DType | undefined;
  #shape: readonly number[] | undefined;
  #data: Pick<LiftedTensor, 'data' | 'form'> | undefined;
  /** Where the data starts; 0 before it is found. */
  #dataAt = 0;

  constructor(cursor: Cursor, numbers: DecimalScanner, addon: CodecAddon | null) {
    this.#cursor = cursor;
    this.#numbers = numbers;
    this.#addon = addon;
  }

  read(kind: ElementKind): LiftedTensor {
    const cursor = this.#cursor;
    const pointer = cursor.pointer();
    this.#readMembers(kind);
    const end = cursor.position;
    const shape = this.#shape;
    if (shape === undefined) throw invalidTensor(pointer, `Expected ${MEMBERS}; got no shape`);
    if (this.#dataAt === 0) throw invalidTensor(pointer, `Expected ${MEMBERS}; got no data`);
    const dtype = this.#dtype ?? DEFAULT_DTYPE[kind];
    if (this.#data === undefined) {
      cursor.position = this.#dataAt;
      cursor.path.push('data');
      this.#data = this.#readData(dtype, shape);
      cursor.path.pop();
      cursor.position = end;
    }
    return { dtype, shape, ...this.#data };
  }

  #readMembers(kind: ElementKind): void {
    const cursor = this.#cursor;
    cursor.expect(OPEN_BRACE, MEMBERS);
    if (cursor.peek() === CLOSE_BRACE) {
      cursor.position++;
      return;
    }
    for (;;) {
      this.#readMember(enterMember(cursor), kind);
      cursor.path.pop();
      cursor.skipWhitespace();
      if (cursor.peek() === CLOSE_BRACE) break;
      cursor.expect(COMMA, "',' or '}' after a member");
    }
    cursor.position++;
  }

  #readMember(name: string, kind: ElementKind): void {
    const cursor = this.#cursor;
    if (name === 'dtype' && this.#dtype === undefined) this.#dtype = this.#readDtype(kind);
    else if (name === 'shape' && this.#shape === undefined) this.#shape = this.#readShape();
    else if (name === 'data' && this.#dataAt === 0) {
      this.#dataAt = cursor.position;
      if (this.#dtype !== undefined && this.#shape !== undefined) {
        this.#data = this.#readData(this.#dtype, this.#shape);
      } else {
        this.#skipData();
      }
    } else {
      const got = ['dtype', 'shape', 'data'].includes(name) ? 'it twice' : 'another member';
      throw invalidTensor(cursor.pointer(), `Expected ${MEMBERS}, each once; got ${got}`);
    }
  }

  #readDtype(kind: ElementKind): DType {
    const cursor = this.#cursor;
    const accepted = DTYPES.filter((dtype) => (dtype === 'bool') === (kind === 'bool'));
    const expected = `Expected a dtype among ${accepted.join(', ')}`;
    if (cursor.peek() !== QUOTE) throw this.#notA(expected);
    const dtype = readWord(cursor);
    if (dtype === undefined) {
      throw invalidTensor(cursor.pointer(), `${expected}; got a string of more than ${LONGEST_WORD} bytes`);
    }
    const known = accepted.find((candidate) => candidate === dtype);
    if (known !== undefined) return known;
    let detail = `${expected}; got ${quoted(dtype)}`;
    if (kind === 'bool') {
      detail += '. Numbers here could be meant as an additive bias, which goes in `bias`';
    } else if (dtype === 'bool') {
      detail += '. A mask goes in `allow_mask`, `forbid_mask` or `key_valid`';
    }
    throw invalidTensor(cursor.pointer(), detail);
  }

  #readShape(): readonly number[] {
    const cursor = this.#cursor;
    if (cursor.peek() !== OPEN_BRACKET) throw this.#notA('Expected a shape, such as [2, 3]');
    cursor.position++;
    const locate = (ordinal: number) => ({ pointer: cursor.pointer(ordinal), index: [ordinal] });
    // A few numbers take less time than the way to the addon and back.
    const sizes = new ElementReader(cursor, this.#numbers, locate, null);
    sizes.readFew(MAX_RANK);
    if (sizes.count > MAX_RANK) {
      const detail = `Expected 1 to ${MAX_RANK} sizes; got more than ${MAX_RANK}`;
      throw invalidTensor(cursor.pointer(), detail);
    }
    const shape = Array.from(sizes.elements('float64'), (size) => size + 0);
    const fault = faultOfShape(shape);
    if (fault !== undefined) throw invalidTensor(cursor.pointer(), fault);
    return shape;
  }

  #skipData(): void {
    const cursor = this.#cursor;
    if (cursor.peek() === QUOTE) {
      skipString(cursor);
      return;
    }
    if (cursor.peek() !== OPEN_BRACKET) throw this.#notData();
    // What is stepped over is read later, so that here its end is all that matters. An array of numbers alone,
    // as it has to be, ends at the first bracket.
    const end = cursor.bytes.indexOf(CLOSE_BRACKET, cursor.position);
    if (end < 0) throw cursor.malformed("Expected ']'", cursor.end);
    let element = 0;
    for (let at = cursor.position + 1; at < end; at++) {
      const byte = cursor.bytes[at];
      if (byte === COMMA) element++;
      if (byte === QUOTE || byte === OPEN_BRACKET || byte === OPEN_BRACE) throw this.#notFlat(element, at);
    }
    cursor.position = end + 1;
  }

  #readData(dtype: DType, shape: readonly number[]): Pick<LiftedTensor, 'data' | 'form'> {
    const cursor = this.#cursor;
    if (cursor.peek() === QUOTE) return { data: this.#readBase64(dtype, shape), form: 'base64' };
    if (cursor.peek() !== OPEN_BRACKET) throw this.#notData();
    cursor.position++;
    return { data: this.#readFlat(dtype, shape), form: 'flat' };
  }

  #readFlat(dtype: DType, shape: readonly number[]): Elements {
    const cursor = this.#cursor;
    cursor.skipWhitespace();
    if (cursor.peek() === OPEN_BRACKET) throw this.#notFlat(0, cursor.position);
    const locate = (ordinal: number): Location => ({
      pointer: cursor.pointer(ordinal),
      index: indexOf(ordinal, shape),
    });
    const reader = new ElementReader(cursor, this.#numbers, locate, this.#addon);
    reader.readRow(dtype, this.#dtype === 'bool');
    const expected = elementCount(shape);
    if (reader.count !== expected) {
      const detail = `Expected ${expected} elements for shape ${formatShape(shape)}; got ${reader.count}`;
      throw invalidTensor(cursor.pointer(), detail);
    }
    const elements = reader.elements(dtype);
    return dtype === 'float16' || dtype === 'bfloat16'
      ? onSharedMemory(Float32Array.from(elements))
      : onSharedMemory(elements);
  }

  #readBase64(dtype: DType, shape: readonly number[]): Elements {
    const bytes = this.#base64();
    const pointer = this.#cursor.pointer();
    if (typeof bytes === 'string') throw invalidTensor(pointer, `Expected ${bytes}`);
    const expected = (elementCount(shape) ?? 0) * ELEMENT_BYTES[dtype];
    if (bytes.length !== expected) {
      const what = `base64 of ${expected} bytes for ${dtype} ${formatShape(shape)}`;
      throw invalidTensor(pointer, `Expected ${what}; got ${bytes.length} bytes`);
    }
    const elements = readLittleEndian(dtype, bytes);
    if (!('element' in elements)) return elements;
    throw faultyElement(elements, shape, pointer);
  }

  /** What base64 is, has no escapes, so that the bytes of the string are looked at once. */
  #base64(): Uint8Array | string {
    const cursor = this.#cursor;
    const text = peekString(cursor);
    const bytes = text === undefined ? '' : decodeBase64(text);
    if (text === undefined || typeof bytes === 'string') return decodeBase64(readString(cursor));
    cursor.position += text.length + 2;
    return bytes;
  }

  #notData() {
    return this.#notA('Expected data as a flat array of numbers or a base64 string');
  }

  #notFlat(element: number, at: number) {
    const got = describeValue(this.#cursor, at);
    const detail = `Expected data as one flat array of numbers, row-major; got ${got} in it`;
    return invalidTensor(this.#cursor.pointer(element), detail);
  }

  #notA(expected: string) {
    const cursor = this.#cursor;
    const got = describeValue(cursor, cursor.position);
    return got === undefined
      ? cursor.malformed(expected)
      : invalidTensor(cursor.pointer(), `${expected}; got ${got}`);
  }
}

/** Index of an element in the tensor; in the data alone, where the data has more than the shape. */
function indexOf(element: number, shape: readonly number[]): number[] {
  return element < (elementCount(shape) ?? 0) ? unravel(element, shape) : [element];
}

import { shapeOfField } from '../../contract/schemas/field-shapes.ts';
import { type DType, type ElementKind, formatShape } from '../../domain/tensor.ts';
import { MAX_RANK, onSharedMemory } from '../dtypes.ts';
import type { CodecAddon } from '../native/addon.ts';
import { readArrays } from './arrays.ts';
import { OPEN_BRACE, OPEN_BRACKET } from './ascii.ts';
import type { Cursor } from './cursor.ts';
import type { DecimalScanner } from './decimal-scanner.ts';
import { describeValue, invalidTensor, type Location, notAnElement } from './element-faults.ts';
import { ElementReader } from './elements.ts';
import { DEFAULT_DTYPE, type LiftedTensor } from './lifted-tensor.ts';
import { TensorObjectReader } from './tensor-object.ts';

const ELEMENTS = { real: 'numbers', index: 'numbers', bool: 'true and false' } as const;
const formsOf = (kind: ElementKind) => `nested arrays of ${ELEMENTS[kind]} or {"dtype", "shape", "data"}`;

/** Reads the tensors of one body, whichever form they have. */
export class TensorReader {
  readonly #cursor: Cursor;
  readonly #numbers: DecimalScanner;
  readonly #jsonDepth: number;
  readonly #addon: CodecAddon | null;

  constructor(cursor: Cursor, numbers: DecimalScanner, jsonDepth: number, addon: CodecAddon | null) {
    this.#cursor = cursor;
    this.#numbers = numbers;
    this.#jsonDepth = jsonDepth;
    this.#addon = addon;
  }

  /** Reads the value at the cursor. Throws `invalid_tensor`, or `malformed_body` for what is not JSON. */
  read(kind: ElementKind): LiftedTensor {
    const cursor = this.#cursor;
    const byte = cursor.peek();
    if (byte === OPEN_BRACKET) {
      return new NestedReader(cursor, this.#numbers, this.#jsonDepth, this.#addon).read(kind);
    }
    if (byte === OPEN_BRACE) return new TensorObjectReader(cursor, this.#numbers, this.#addon).read(kind);
    const got = describeValue(cursor, cursor.position);
    const expected = `Expected ${formsOf(kind)}`;
    if (got === undefined) throw cursor.malformed(expected);
    const shape = shapeOfField(cursor.path.join('.'));
    const ofShape = shape === undefined ? '' : `, of shape ${shape}`;
    throw invalidTensor(
      cursor.pointer(),
      `${expected}${ofShape}; got ${/\d/.test(got) ? `the number ${got}` : got}`,
    );
  }
}

/** Reads nested arrays. The first way down to a number tells the rank, the first array of each level its size. */
class NestedReader {
  readonly #cursor: Cursor;
  readonly #elements: ElementReader;
  readonly #jsonDepth: number;
  readonly #shape: (number | undefined)[] = [];
  /** Of the array or row that is being read, on each level above it. */
  readonly #index: number[] = [];
  #rank: number | undefined;

  constructor(cursor: Cursor, numbers: DecimalScanner, jsonDepth: number, addon: CodecAddon | null) {
    const locate = (ordinal: number) => this.#locate([...this.#index, ordinal]);
    this.#cursor = cursor;
    this.#jsonDepth = jsonDepth;
    this.#elements = new ElementReader(cursor, numbers, locate, addon);
  }

  read(kind: ElementKind): LiftedTensor {
    const dtype = DEFAULT_DTYPE[kind];
    const shape = this.#elements.readNested(dtype) ?? this.#readRows(dtype);
    return { dtype, shape, data: onSharedMemory(this.#elements.elements(dtype)), form: 'nested' };
  }

  #readRows(dtype: DType): readonly number[] {
    this.#cursor.position++;
    this.#readLevel(0, dtype);
    return this.#shape as number[];
  }

  /** One array of the nesting, from after its opening bracket to after its closing one. */
  #readLevel(level: number, dtype: DType): void {
    const cursor = this.#cursor;
    cursor.skipWhitespace();
    if (this.#rank === undefined && cursor.peek() !== OPEN_BRACKET) this.#rank = level + 1;
    if (this.#rank === level + 1) {
      const before = this.#elements.count;
      this.#elements.readRow(dtype, false);
      this.#closeLevel(level, this.#elements.count - before);
      return;
    }
    if (level + 1 === MAX_RANK) throw this.#tooDeep();
    const readArray = () => this.#readLevel(level + 1, dtype);
    this.#closeLevel(
      level,
      readArrays(cursor, this.#index, readArray, () => this.#notAnArray()),
    );
  }

  #closeLevel(level: number, size: number): void {
    const expected = this.#shape[level];
    if (expected === undefined) this.#shape[level] = size;
    else if (expected !== size) {
      const detail = `Expected ${expected} entries at index ${formatShape(this.#index)}, as in the arrays before it`;
      throw invalidTensor(this.#cursor.pointer(...this.#index), `${detail}; got ${size}`);
    }
  }

  #notAnArray() {
    const where = this.#locate(this.#index);
    return notAnElement(this.#cursor, this.#cursor.position, 'an array', where);
  }

  /** Nesting beyond rank 4 is a tensor of too high a rank; beyond the depth of any body, it is not a body. */
  #tooDeep() {
    const cursor = this.#cursor;
    let depth = MAX_RANK;
    while (cursor.peek() === OPEN_BRACKET && cursor.path.length + depth < this.#jsonDepth) {
      depth++;
      cursor.position++;
      cursor.skipWhitespace();
    }
    if (cursor.peek() === OPEN_BRACKET) {
      return cursor.malformed(`Expected at most ${this.#jsonDepth} levels of nesting`);
    }
    const detail = `Expected arrays nested at most ${MAX_RANK} deep; got ${depth}`;
    return invalidTensor(cursor.pointer(), detail);
  }

  #locate(index: readonly number[]): Location {
    return { pointer: this.#cursor.pointer(...index), index: [...index] };
  }
}

import type { RealArray } from '../../domain/tensor.ts';
import type { Job } from '../kernel.ts';
import { type Code, instantiate, type Variant } from './module.ts';
import { Shelf } from './shelf.ts';

const PAGE_BYTES = 65536;
/** Every piece of memory begins at a multiple of this: a cache line. */
const ALIGNMENT = 64;
/** Vectors may be read this far beyond the end of what they are needed for. */
const SLACK_BYTES = 64;

/** Packed weights of registered layers that a thread keeps: those of seven layers of width 768. */
const SHELF_BYTES = 64 * 2 ** 20;

/** What many tiles in a row read: of which job, what, and which of those. */
interface Operand {
  readonly job: Job | null;
  readonly kind: string;
  readonly index: number;
}

const NOTHING: Operand = { job: null, kind: '', index: 0 };

/**
 * A module of one thread with its memory. WebAssembly sees no memory but its own, so a tile copies in what it reads and
 * out what it has computed. What many tiles in a row read (a block of weights, the keys of a head) is the operand: it
 * stays at the beginning of the tile's memory until a tile asks for another one. Before that lies the shelf, with operands
 * that stay from call to call.
 */
export class Machine {
  readonly code: Code;
  floats!: Float32Array;
  ints!: Int32Array;
  bytes!: Uint8Array;
  readonly #shelf: Shelf;
  #next: number;
  #operand: Operand = NOTHING;

  constructor(variant: Variant) {
    this.code = instantiate(variant);
    this.#shelf = new Shelf(aligned(this.code.heapBase()), SHELF_BYTES);
    this.#next = this.#shelf.end;
    this.#view();
  }

  /** Begins a tile whose operand takes up to `operandBytes`. Returns the address of the operand. */
  begin(operandBytes: number): number {
    this.#next = this.#shelf.end;
    return this.take(operandBytes);
  }

  /**
   * Begins a tile with an operand that `load` puts where it is told, unless it is there. One that has a name is known by
   * it from call to call.
   */
  beginWith(operand: Operand, name: string | null, bytes: number, load: (at: number) => void): number {
    const kept = name === null ? undefined : this.#shelf.find(name);
    const size = aligned(bytes);
    const isShelved = kept === undefined && name !== null && this.#shelf.hasRoom(size);
    if (kept === undefined && !isShelved && this.#has(operand)) return this.begin(size);
    // Whatever the tile takes now lies where the operand was.
    this.#operand = NOTHING;
    if (kept !== undefined) {
      this.#next = this.#shelf.end;
      return kept;
    }
    const at = this.begin(size);
    load(at);
    if (isShelved) this.#shelf.add(name, size);
    else this.#operand = operand;
    this.#next = at + size;
    return at;
  }

  /** An address with this many bytes, for the rest of the tile. */
  take(bytes: number): number {
    const at = this.#next;
    this.#next = aligned(at + bytes);
    const missing = this.#next + SLACK_BYTES - this.bytes.byteLength;
    if (missing > 0) {
      this.code.memory.grow(Math.ceil(missing / PAGE_BYTES));
      this.#view();
    }
    return at;
  }

  /** Whether the operand is this one already; from now on it is taken to be. */
  holds(operand: Operand): boolean {
    if (this.#has(operand)) return true;
    this.#operand = operand;
    return false;
  }

  #has({ job, kind, index }: Operand): boolean {
    const operand = this.#operand;
    return operand.job === job && operand.kind === kind && operand.index === index;
  }

  /** Copies rows of `size` elements, `stride` apart in `data`, to an address, one after the other. */
  copyIn(data: RealArray, from: number, stride: number, rows: number, size: number, to: number): void {
    copyRows(data as Float32Array, from, stride, this.floats, to / 4, size, rows, size);
  }

  /** Copies rows that stand one after the other at an address to rows `stride` apart in `data`. */
  copyOut(from: number, rows: number, size: number, data: RealArray, to: number, stride: number): void {
    copyRows(this.floats, from / 4, size, data as Float32Array, to, stride, rows, size);
  }

  #view(): void {
    const { buffer } = this.code.memory;
    this.floats = new Float32Array(buffer);
    this.ints = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }
}

function aligned(address: number): number {
  return Math.ceil(address / ALIGNMENT) * ALIGNMENT;
}

/** Fewer elements than this are copied faster by a loop than by a call. */
const FEW = 128;

function copyRows(
  from: Float32Array,
  fromAt: number,
  fromStride: number,
  to: Float32Array,
  toAt: number,
  toStride: number,
  rows: number,
  size: number,
): void {
  if (fromStride === size && toStride === size && rows * size >= FEW) {
    to.set(from.subarray(fromAt, fromAt + rows * size), toAt);
    return;
  }
  for (let row = 0; row < rows; row++) {
    const source = fromAt + row * fromStride;
    const target = toAt + row * toStride;
    if (size >= FEW) to.set(from.subarray(source, source + size), target);
    else for (let c = 0; c < size; c++) to[target + c] = from[source + c];
  }
}

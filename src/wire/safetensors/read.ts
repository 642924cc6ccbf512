import { pointerToken, problemAt } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import { RecentMap } from '../../domain/recent-map.ts';
import { elementCount, formatShape } from '../../domain/tensor.ts';
import { type HeaderEntry, readHeader } from './header.ts';
import { isStoredDType, STORED_DTYPES, type StoredDType, storedBytes } from './stored-dtypes.ts';

/** A tensor as a safetensors file holds it. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  /** Of any rank; empty for a scalar. */
  readonly shape: readonly number[];
  /** The row-major little-endian elements. They may begin anywhere in their buffer. */
  readonly bytes: Uint8Array;
}

export interface SafetensorsFile {
  /** Its JSON, which says everything of the file but what the elements are. */
  readonly header: string;
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of the header. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

const LENGTH_BYTES = 8;
/** A header of 10,000 tensors has about so many bytes. */
export const MAX_HEADER_BYTES = 1024 * 1024;

const OPEN_BRACE = 0x7b;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads a safetensors file (github.com/huggingface/safetensors, "Format"): eight bytes of header length, a header of
 * JSON, and the data, of which every byte belongs to exactly one tensor. The bytes of the tensors are views on the
 * file. What their elements are worth is not looked at.
 *
 * Beyond the format, the header has at most `maxHeaderBytes`, no name is there twice, and none reaches a prototype.
 * @throws {Problem} malformed_body, with a JSON Pointer into the header.
 */
export function readSafetensors(file: Uint8Array, maxHeaderBytes = MAX_HEADER_BYTES): SafetensorsFile {
  const { text, data } = splitFile(file, maxHeaderBytes);
  const { metadata, places } = layoutOf(text, data.length);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { dtype, shape, from, to }] of places) {
    tensors.set(name, { dtype, shape, bytes: data.subarray(from, to) });
  }
  return { header: text, metadata, tensors };
}

/** The length of the header and the header; undefined where the file ends before. */
export function headOf(file: Uint8Array): Uint8Array | undefined {
  if (file.length < LENGTH_BYTES) return undefined;
  const end = LENGTH_BYTES + Number(headerLength(file));
  return end > file.length ? undefined : file.subarray(0, end);
}

function headerLength({ buffer, byteOffset }: Uint8Array): bigint {
  return new DataView(buffer, byteOffset, LENGTH_BYTES).getBigUint64(0, true);
}

/** What a header says, found to be right for so many bytes of data. */
interface Layout {
  readonly dataBytes: number;
  readonly metadata: ReadonlyMap<string, string>;
  readonly places: ReadonlyMap<string, Place>;
}

interface Place {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly from: number;
  readonly to: number;
}

/** Whoever sends many small files sends the same header with each, and reading it takes longer than their numbers. */
const layouts = new RecentMap<string, Layout>(64);
const LONGEST_KEPT = 1024;

function layoutOf(text: string, dataBytes: number): Layout {
  const known = layouts.get(text);
  if (known?.dataBytes === dataBytes) return known;
  const { metadata, entries } = readHeader(text);
  checkCoverage(entries, dataBytes);
  const places = new Map<string, Place>();
  for (const [name, entry] of entries) places.set(name, placeOf(name, entry));
  const layout = { dataBytes, metadata, places };
  if (text.length <= LONGEST_KEPT) layouts.set(text, layout);
  return layout;
}

function splitFile(file: Uint8Array, maxHeaderBytes: number): { text: string; data: Uint8Array } {
  if (file.length < LENGTH_BYTES) {
    const what = `the ${LENGTH_BYTES} bytes of the header length`;
    throw malformed(`Expected a safetensors file, which begins with ${what}; got ${file.length} bytes`);
  }
  const length = headerLength(file);
  if (length > maxHeaderBytes) {
    const expected = `Expected a safetensors file with a header of at most ${maxHeaderBytes} bytes`;
    throw malformed(`${expected}; its first ${LENGTH_BYTES} bytes say ${length}`);
  }
  const end = LENGTH_BYTES + Number(length);
  if (end > file.length) {
    const rest = file.length - LENGTH_BYTES;
    throw malformed(`Expected ${length} bytes of header, as the file begins by saying; got ${rest}`);
  }
  if (length === 0n || file[LENGTH_BYTES] !== OPEN_BRACE) {
    throw malformed("Expected the header to begin with '{'");
  }
  return { text: decodeUtf8(file.slice(LENGTH_BYTES, end)), data: file.subarray(end) };
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw malformed('Expected a header in UTF-8; got other bytes');
  }
}

/** Every byte of the data belongs to one tensor: no holes, no overlaps, nothing outside. */
function checkCoverage(entries: ReadonlyMap<string, HeaderEntry>, dataBytes: number): void {
  const inOrder = [...entries].sort(([, a], [, b]) => a.from - b.from || a.to - b.to);
  let covered = 0;
  let previous = '';
  for (const [name, { from, to }] of inOrder) {
    if (to < from || to > dataBytes) {
      const expected = `Expected data_offsets [begin, end] with begin <= end <= ${dataBytes}, the bytes of the data`;
      throw malformed(`${expected}; got [${from}, ${to}]`, pointerTo(name, 'data_offsets'));
    }
    if (from !== covered) {
      const after = covered === 0 ? '' : `, where the data of ${quoted(previous)} ends`;
      const expected = `Expected data that begins at byte ${covered}${after}: every byte belongs to one tensor`;
      throw malformed(`${expected}; got [${from}, ${to}]`, pointerTo(name, 'data_offsets'));
    }
    covered = to;
    previous = name;
  }
  if (covered !== dataBytes) {
    throw malformed(`Expected ${covered} bytes of data, as the header says; got ${dataBytes}`);
  }
}

function placeOf(name: string, { dtype, shape, from, to }: HeaderEntry): Place {
  if (!isStoredDType(dtype)) {
    const got = quoted(dtype);
    const expected = `Expected a dtype among ${STORED_DTYPES.join(', ')}`;
    throw malformed(`${expected}; got ${got}`, pointerTo(name, 'dtype'));
  }
  const count = elementCount(shape);
  const bytes = count === undefined ? undefined : storedBytes(dtype, count);
  if (bytes === undefined) {
    const expected = `Expected a shape whose elements of ${dtype} fill whole bytes, fewer than 2^50`;
    throw malformed(`${expected}; got ${wordShape(shape)}`, pointerTo(name, 'shape'));
  }
  if (bytes !== to - from) {
    const expected = `Expected ${bytes} bytes for ${dtype} ${wordShape(shape)}`;
    throw malformed(
      `${expected}; got data_offsets [${from}, ${to}], ${to - from} bytes`,
      pointerTo(name, 'data_offsets'),
    );
  }
  return { dtype, shape, from, to };
}

function pointerTo(name: string, member: string): string {
  return `/${pointerToken(name)}/${member}`;
}

const MOST_SIZES = 8;

function wordShape(shape: readonly number[]): string {
  return formatShape(shape.length > MOST_SIZES ? [...shape.slice(0, MOST_SIZES), '…'] : shape);
}

function malformed(detail: string, pointer = '') {
  return problemAt('malformed_body', pointer, detail);
}

import { problemAt } from '../../domain/problem.ts';
import type { DecodeOptions } from '../format.ts';
import { Cursor } from '../json/cursor.ts';
import { DecimalScanner } from '../json/decimal-scanner.ts';
import { EnvelopeScanner } from '../json/envelope-scanner.ts';
import type { FieldNode } from '../json/fields.ts';
import { skipData } from './json-data.ts';

/** The two parts of an inference request. */
interface Parts {
  readonly json: Uint8Array;
  /** What follows the JSON; undefined where no header told that anything does. */
  readonly binary: Uint8Array | undefined;
}

/** The JSON of an inference request, once it has been gone through. */
interface ScannedRequest {
  readonly cursor: Cursor;
  readonly numbers: DecimalScanner;
  /** The request with an ordinal in the place of the elements of each input. */
  readonly text: string;
  /** Where these elements start, by that ordinal. */
  readonly lifted: readonly number[];
}

const none: ReadonlyMap<string, FieldNode<'data'>> = new Map();
const data: FieldNode<'data'> = { path: 'inputs.data', kind: 'data', members: none };
const input: FieldNode<'data'> = { path: 'inputs', members: new Map([['data', data]]) };
const inputs: FieldNode<'data'> = { path: 'inputs', members: none, elements: input };
/** Elements stand at `inputs[i].data`, whatever they are. */
const BODY: FieldNode<'data'> = { path: '', members: new Map([['inputs', inputs]]) };

/** The JSON of a request, where a header tells that binary tensors follow; undefined where none do. */
export function binaryHead(bytes: Uint8Array, headerBytes: number | undefined): Uint8Array | undefined {
  return headerBytes === undefined || headerBytes > bytes.length ? undefined : bytes.subarray(0, headerBytes);
}

/** Throws a Problem, `malformed_body`, where the JSON is to be longer than the body. */
export function splitRequest(bytes: Uint8Array, headerBytes: number | undefined): Parts {
  if (headerBytes === undefined) return { json: bytes, binary: undefined };
  if (headerBytes > bytes.length) {
    const detail = `Inference-Header-Content-Length: expected at most the ${bytes.length} bytes of the body; got ${headerBytes}.`;
    throw problemAt('malformed_body', '', detail);
  }
  return { json: bytes.subarray(0, headerBytes), binary: bytes.subarray(headerBytes) };
}

/** Goes through the JSON once, over the elements of its inputs. Throws Problems `malformed_body`, `invalid_request`. */
export function scanRequest(json: Uint8Array, limits: DecodeOptions['limits']): ScannedRequest {
  const cursor = new Cursor(json);
  const numbers = new DecimalScanner(json);
  const scanner = new EnvelopeScanner(cursor, numbers, limits, () => skipData(cursor));
  const { envelope: text, lifted } = scanner.scan(BODY);
  return { cursor, numbers, text, lifted };
}

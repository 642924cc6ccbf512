import type { Limits } from '../../domain/limits.ts';
import { type Problem, problemAt } from '../../domain/problem.ts';
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COMMA,
  LOWER_F,
  LOWER_N,
  LOWER_T,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from './ascii.ts';
import type { Cursor } from './cursor.ts';
import type { DecimalScanner } from './decimal-scanner.ts';
import type { FieldNode } from './fields.ts';
import { enterMember, skipString } from './strings.ts';

export interface ScannedBody<Lifted> {
  /** The body with each tensor replaced by its ordinal in `lifted`; valid JSON. */
  readonly envelope: string;
  readonly lifted: readonly Lifted[];
}

/** Far more than any operation has fields: a field may come twice, but a body is not to be made of such. */
const MAX_TENSORS = 1000;

const LITERALS: ReadonlyMap<number, string> = new Map([
  [LOWER_T, 'true'],
  [LOWER_F, 'false'],
  [LOWER_N, 'null'],
]);

/**
 * One pass over a JSON body. Values at the paths of tensor fields are lifted out; all the rest, the envelope,
 * is checked against the grammar (RFC 8259) and kept as the bytes that it is, for JSON.parse.
 */
export class EnvelopeScanner<Kind, Lifted> {
  readonly #cursor: Cursor;
  readonly #numbers: DecimalScanner;
  readonly #limits: Limits;
  readonly #read: (kind: Kind) => Lifted;
  readonly #lifted: Lifted[] = [];
  /** Pieces of the envelope, each followed by a tensor, and their bytes. */
  readonly #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  #pieceStart = 0;
  /** How many arrays of the envelope the cursor is in. */
  #arrays = 0;
  /** Members that are not objects: the envelope's size where the one being read starts, and the largest one so far. */
  #member = { pathLength: 0, start: 0 };
  #largest = { pointer: '', bytes: 0 };

  /** `cursor` stands at the start of the body. `read` lifts out the value that it stands at, and steps over it. */
  constructor(cursor: Cursor, numbers: DecimalScanner, limits: Limits, read: (kind: Kind) => Lifted) {
    this.#cursor = cursor;
    this.#numbers = numbers;
    this.#limits = limits;
    this.#read = read;
  }

  /**
   * Throws `malformed_body` (not JSON, nested too deep, a forbidden name), `invalid_request` (an envelope
   * larger than the limit, a name longer than any) and what `read` throws.
   */
  scan(fields: FieldNode<Kind>): ScannedBody<Lifted> {
    const cursor = this.#cursor;
    this.#object(fields, 1);
    if (cursor.position !== cursor.end) throw cursor.malformed('Expected nothing after the closing brace');
    this.#checkSize();
    this.#keepPiece();
    return { envelope: Buffer.concat(this.#pieces).toString('utf8'), lifted: this.#lifted };
  }

  #object(fields: FieldNode<Kind> | undefined, depth: number): void {
    const cursor = this.#cursor;
    this.#checkDepth(depth);
    cursor.position++;
    cursor.skipWhitespace();
    if (cursor.peek() === CLOSE_BRACE) {
      cursor.position++;
      return;
    }
    for (;;) {
      const name = enterMember(cursor);
      const field = fields?.members.get(name);
      if (field?.kind !== undefined) this.#lift(field.kind);
      else this.#memberValue(field, depth + 1);
      cursor.path.pop();
      cursor.skipWhitespace();
      if (cursor.peek() === CLOSE_BRACE) break;
      cursor.expect(COMMA, "',' or '}' after a member");
    }
    cursor.position++;
  }

  #lift(kind: Kind): void {
    if (this.#lifted.length === MAX_TENSORS) {
      throw this.#cursor.malformed(`Expected at most ${MAX_TENSORS} tensors in a body`);
    }
    this.#checkSize();
    this.#keepPiece();
    this.#pieces.push(Buffer.from(String(this.#lifted.length)));
    this.#lifted.push(this.#read(kind));
    this.#pieceStart = this.#cursor.position;
  }

  #memberValue(field: FieldNode<Kind> | undefined, depth: number): void {
    const cursor = this.#cursor;
    if (this.#arrays > 0 || cursor.peek() === OPEN_BRACE) {
      this.#value(field, depth);
      return;
    }
    const start = this.#size();
    this.#member = { pathLength: cursor.path.length, start };
    this.#value(field, depth);
    this.#member.pathLength = 0;
    const bytes = this.#size() - start;
    if (bytes > this.#largest.bytes) this.#largest = { pointer: cursor.pointer(), bytes };
  }

  #value(fields: FieldNode<Kind> | undefined, depth: number): void {
    const cursor = this.#cursor;
    const byte = cursor.peek();
    if (byte === OPEN_BRACE) this.#object(fields, depth);
    else if (byte === OPEN_BRACKET) this.#array(fields?.elements, depth);
    else if (byte === QUOTE) skipString(cursor);
    else if (LITERALS.has(byte)) this.#literal(LITERALS.get(byte) as string);
    else this.#number();
    this.#checkSize();
  }

  #array(elements: FieldNode<Kind> | undefined, depth: number): void {
    const cursor = this.#cursor;
    this.#checkDepth(depth);
    this.#arrays++;
    cursor.position++;
    cursor.skipWhitespace();
    if (cursor.peek() !== CLOSE_BRACKET) {
      for (let index = 0; ; index++) {
        cursor.path.push(index);
        this.#value(elements, depth + 1);
        cursor.path.pop();
        cursor.skipWhitespace();
        if (cursor.peek() === CLOSE_BRACKET) break;
        cursor.expect(COMMA, "',' or ']' after an element");
      }
    }
    cursor.position++;
    this.#arrays--;
  }

  #literal(literal: string): void {
    const cursor = this.#cursor;
    for (let at = 0; at < literal.length; at++) {
      if (cursor.peek() !== literal.charCodeAt(at)) throw cursor.malformed(`Expected ${literal}`);
      cursor.position++;
    }
  }

  #number(): void {
    const cursor = this.#cursor;
    const end = this.#numbers.scan(cursor.position);
    if (end < 0) throw cursor.malformed('Expected a JSON value');
    cursor.position = end;
  }

  #checkDepth(depth: number): void {
    const { jsonDepth } = this.#limits;
    if (depth > jsonDepth) throw tooDeep(this.#cursor, jsonDepth);
  }

  /** Bytes of the envelope up to the cursor. */
  #size(): number {
    return this.#pieceBytes + this.#cursor.position - this.#pieceStart;
  }

  #checkSize(): void {
    const { envelopeBytes } = this.#limits;
    if (this.#size() > envelopeBytes) throw this.#tooLarge(envelopeBytes);
  }

  #tooLarge(limit: number): Problem {
    let { pointer, bytes } = this.#largest;
    const { pathLength, start } = this.#member;
    if (pathLength > 0 && this.#size() - start > bytes) {
      bytes = this.#size() - start;
      pointer = this.#cursor
        .pointer()
        .split('/')
        .slice(0, pathLength + 1)
        .join('/');
    }
    const expected = `Expected at most ${limit} bytes besides the tensors of the operation; got more`;
    const share = `at least ${bytes} bytes in this field, which is not one of its tensors`;
    return problemAt('invalid_request', pointer, bytes > 0 ? `${expected}, ${share}` : expected);
  }

  #keepPiece(): void {
    const { bytes, position } = this.#cursor;
    this.#pieces.push(bytes.subarray(this.#pieceStart, position));
    this.#pieceBytes += position - this.#pieceStart;
  }
}

function tooDeep(cursor: Cursor, limit: number): Problem {
  const detail = `Expected at most ${limit} levels of nesting; got more, at byte ${cursor.position}`;
  // Only the first names: the rest of the path is the nesting itself.
  return problemAt('malformed_body', cursor.pointer().split('/').slice(0, 3).join('/'), detail);
}

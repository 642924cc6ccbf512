import { type Problem, pointerToken, problemAt } from '../../domain/problem.ts';
import { isForbiddenName } from '../names.ts';

/** The member of the header that is not a tensor. */
export const METADATA = '__metadata__';

/** What the header says of one tensor; nothing of it is checked against the data. */
export interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Where its bytes begin, and before where they end, counted from the end of the header. */
  readonly from: number;
  readonly to: number;
}

export interface Header {
  readonly metadata: ReadonlyMap<string, string>;
  readonly entries: ReadonlyMap<string, HeaderEntry>;
}

/** From a quote to the next one that no backslash stands before; JSON.parse says whether it is a string. */
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/sy;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const DIGIT_0 = 0x30;

const ENTRY = '{"dtype", "shape", "data_offsets"}, each once';
const LONGEST_QUOTE = 16;

/**
 * Reads the header of a safetensors file. JSON.parse would keep the last of two members of one name and nest as deep
 * as a file says; this reads the one form that a header may have, and nothing below it.
 * @throws {Problem} malformed_body, with a JSON Pointer into the header.
 */
export function readHeader(text: string): Header {
  return new HeaderReader(text).read();
}

class HeaderReader {
  readonly #text: string;
  #at = 0;
  /** Names of the members that are being read. */
  readonly #path: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  read(): Header {
    let metadata: ReadonlyMap<string, string> = new Map();
    const entries = new Map<string, HeaderEntry>();
    this.#readMembers('a JSON object', (name) => {
      if (name === METADATA) metadata = this.#readMetadata();
      else entries.set(name, this.#readEntry());
    });
    if (this.#at < this.#text.length) throw this.#malformed('Expected nothing but spaces after the header');
    return { metadata, entries };
  }

  #readMetadata(): ReadonlyMap<string, string> {
    const metadata = new Map<string, string>();
    this.#readMembers('an object of strings', (name) => metadata.set(name, this.#readString('a string')));
    return metadata;
  }

  #readEntry(): HeaderEntry {
    let dtype: string | undefined;
    let shape: readonly number[] | undefined;
    let offsets: readonly number[] | undefined;
    this.#readMembers(ENTRY, (name) => {
      if (name === 'dtype') dtype = this.#readString('a dtype, such as "F32"');
      else if (name === 'shape') shape = this.#readCounts('a shape, such as [2, 3]');
      else if (name === 'data_offsets') offsets = this.#readCounts('data_offsets, [begin, end]');
      else throw this.#fault(`Expected ${ENTRY}; got another member`);
    });
    if (dtype === undefined) throw this.#fault(`Expected ${ENTRY}; got no dtype`);
    if (shape === undefined) throw this.#fault(`Expected ${ENTRY}; got no shape`);
    if (offsets === undefined) throw this.#fault(`Expected ${ENTRY}; got no data_offsets`);
    const [from, to] = offsets;
    if (from === undefined || to === undefined || offsets.length !== 2) {
      throw this.#fault(`Expected data_offsets as [begin, end]; got ${offsets.length} numbers`);
    }
    return { dtype, shape, from, to };
  }

  /** An object, whose values `readValue` reads. */
  #readMembers(what: string, readValue: (name: string) => void): void {
    this.#expect('{', what);
    if (this.#take('}')) return;
    const names = new Set<string>();
    do {
      const name = this.#readString('the name of a member, in double quotes');
      this.#path.push(name);
      if (reachesPrototype(name)) {
        throw this.#fault(`Expected the name of a field; got ${name}`);
      }
      if (names.has(name)) throw this.#fault('Expected each name once; got it twice');
      names.add(name);
      this.#expect(':', "':' after the name of a member");
      readValue(name);
      this.#path.pop();
    } while (this.#take(','));
    this.#expect('}', "',' or '}' after a member");
  }

  #readCounts(what: string): readonly number[] {
    const counts: number[] = [];
    this.#expect('[', what);
    if (this.#take(']')) return counts;
    do counts.push(this.#readCount());
    while (this.#take(','));
    this.#expect(']', "',' or ']' after a number");
    return counts;
  }

  #readCount(): number {
    const start = this.#at;
    let count = 0;
    let end = start;
    for (let digit = this.#digit(end); digit >= 0; digit = this.#digit(++end)) count = count * 10 + digit;
    const hasLeadingZero = end > start + 1 && this.#text[start] === '0';
    if (end === start || hasLeadingZero || '.eE'.includes(this.#text[end] ?? ' ')) {
      throw this.#malformed('Expected an integer, 0 or more');
    }
    if (!Number.isSafeInteger(count)) throw this.#malformed('Expected an integer below 2^53');
    this.#stepTo(end);
    return count;
  }

  /** The digit at a place, or -1. */
  #digit(at: number): number {
    const digit = this.#text.charCodeAt(at) - DIGIT_0;
    return digit >= 0 && digit <= 9 ? digit : -1;
  }

  #readString(what: string): string {
    const text = this.#text;
    const start = this.#at;
    if (text.charCodeAt(start) !== QUOTE) throw this.#malformed(`Expected ${what}`);
    let end = start + 1;
    // At the end of the text there is NaN, which is none of these.
    while (
      text.charCodeAt(end) >= SPACE &&
      text.charCodeAt(end) !== QUOTE &&
      text.charCodeAt(end) !== BACKSLASH
    ) {
      end++;
    }
    if (text.charCodeAt(end) !== QUOTE) return this.#readEscaped(what);
    this.#stepTo(end + 1);
    return text.slice(start + 1, end);
  }

  #readEscaped(what: string): string {
    STRING.lastIndex = this.#at;
    const token = STRING.exec(this.#text)?.[0];
    if (token === undefined) throw this.#malformed(`Expected ${what}`);
    let value: string;
    try {
      value = JSON.parse(token);
    } catch {
      throw this.#malformed('Expected a string without control characters and unknown escapes');
    }
    this.#stepTo(this.#at + token.length);
    return value;
  }

  #expect(character: string, what: string): void {
    if (!this.#take(character)) throw this.#malformed(`Expected ${what}`);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#stepTo(this.#at + 1);
    return true;
  }

  /** Goes on at `at`, or where the whitespace there ends. */
  #stepTo(at: number): void {
    let next = at;
    while (isWhitespace(this.#text.charCodeAt(next))) next++;
    this.#at = next;
  }

  /** `Expected …`, and what stands here instead. */
  #malformed(expected: string): Problem {
    const at = this.#at;
    const [found] = this.#text.slice(at, at + LONGEST_QUOTE).split(/[\s,:\]}]/, 1);
    const got = at >= this.#text.length ? 'the end of the header' : JSON.stringify(found || this.#text[at]);
    return this.#fault(`${expected}; got ${got} at character ${at} of the header`);
  }

  #fault(detail: string): Problem {
    const pointer = this.#path.map((name) => `/${pointerToken(name)}`).join('');
    return problemAt('malformed_body', pointer, detail);
  }
}

/** Whether a name, or a part of it between points, reaches the prototype of an object. */
function reachesPrototype(name: string): boolean {
  return name.includes('.') ? name.split('.').some(isForbiddenName) : isForbiddenName(name);
}

function isWhitespace(character: number): boolean {
  return character === SPACE || character === 0x0a || character === 0x0d || character === 0x09;
}

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

const WHITESPACE = /[ \t\n\r]*/y;
/** From a quote to the next one that no backslash stands before; JSON.parse says whether it is a string. */
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/sy;
const COUNT = /(?:0|[1-9]\d*)(?![\d.eE])/y;

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
    if (offsets.length !== 2) {
      throw this.#fault(`Expected data_offsets as [begin, end]; got ${offsets.length} numbers`);
    }
    return { dtype, shape, from: offsets[0], to: offsets[1] };
  }

  /** An object, whose values `readValue` reads. */
  #readMembers(what: string, readValue: (name: string) => void): void {
    this.#expect('{', what);
    if (this.#take('}')) return;
    const names = new Set<string>();
    do {
      const name = this.#readString('the name of a member, in double quotes');
      this.#path.push(name);
      if (name.split('.').some(isForbiddenName)) {
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
    do {
      const start = this.#at;
      const count = Number(this.#match(COUNT, 'an integer, 0 or more'));
      if (!Number.isSafeInteger(count)) throw this.#malformed('Expected an integer below 2^53', start);
      counts.push(count);
    } while (this.#take(','));
    this.#expect(']', "',' or ']' after a number");
    return counts;
  }

  #readString(what: string): string {
    const start = this.#at;
    const token = this.#match(STRING, what);
    try {
      return JSON.parse(token) as string;
    } catch {
      throw this.#malformed('Expected a string without control characters and unknown escapes', start);
    }
  }

  /** The token at the place that is reached; steps over it and the whitespace after it. */
  #match(token: RegExp, what: string): string {
    token.lastIndex = this.#at;
    const found = token.exec(this.#text)?.[0];
    if (found === undefined) throw this.#malformed(`Expected ${what}`);
    this.#stepOver(found.length);
    return found;
  }

  #expect(character: string, what: string): void {
    if (!this.#take(character)) throw this.#malformed(`Expected ${what}`);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#stepOver(1);
    return true;
  }

  #stepOver(length: number): void {
    WHITESPACE.lastIndex = this.#at + length;
    WHITESPACE.test(this.#text);
    this.#at = WHITESPACE.lastIndex;
  }

  /** `Expected …`, and what stands at `at` instead. */
  #malformed(expected: string, at = this.#at): Problem {
    const [found] = this.#text.slice(at, at + LONGEST_QUOTE).split(/[\s,:\]}]/, 1);
    const got = at >= this.#text.length ? 'the end of the header' : JSON.stringify(found || this.#text[at]);
    return this.#fault(`${expected}; got ${got} at character ${at} of the header`);
  }

  #fault(detail: string): Problem {
    const pointer = this.#path.map((name) => `/${pointerToken(name)}`).join('');
    return problemAt('malformed_body', pointer, detail);
  }
}

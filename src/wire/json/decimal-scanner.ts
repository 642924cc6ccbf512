import { DIGIT_0, DIGIT_9, DOT, LOWER_E, MINUS, PLUS, UPPER_E } from './ascii.ts';

/** Digits beyond these are counted and dropped: they weigh less than 10^-18 of the number. */
const MAX_DIGITS = 19;
/** Exponents are clamped to ± this; the number is then zero or infinite in every format. */
const MAX_EXPONENT = 1e9;

/**
 * Scans one JSON number (RFC 8259, section 6) into ±significand·10^exponent, without making a string of it.
 *
 * `significand` is exact where it is below 2^53. Above, it has been rounded by at most nine operations and
 * may have lost digits after the 19th, so that it is off by less than 2^-49 of itself.
 */
export class DecimalScanner {
  /** 1 or -1. */
  sign = 1;
  significand = 0;
  exponent = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Last place from which four bytes can be read. */
  readonly #lastBlock: number;

  /** `bytes` must end in a byte that no number holds, such as `}`: it stops the scan. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#lastBlock = bytes.length - 4;
  }

  /** The place after the number that starts at `at`, or -1 where there is none. */
  scan(at: number): number {
    const bytes = this.#bytes;
    const view = this.#view;
    const lastBlock = this.#lastBlock;
    let position = at;
    // Half of all numbers have a sign, which no branch could foresee.
    const isNegative = ((bytes[position] ^ MINUS) - 1) >>> 31;
    this.sign = 1 - 2 * isNegative;
    position += isNegative;
    let byte = bytes[position];
    if (byte < DIGIT_0 || byte > DIGIT_9) return -1;

    let significand = 0;
    let digits = 0;
    let exponent = 0;
    if (byte === DIGIT_0) {
      byte = bytes[++position];
    } else {
      do {
        if (digits < MAX_DIGITS) {
          significand = significand * 10 + (byte - DIGIT_0);
          digits++;
        } else {
          exponent++;
        }
        byte = bytes[++position];
      } while (byte >= DIGIT_0 && byte <= DIGIT_9);
    }

    if (byte === DOT) {
      const fraction = ++position;
      byte = bytes[position];
      if (digits === 0) {
        while (byte === DIGIT_0) byte = bytes[++position];
        exponent -= position - fraction;
      }
      while (digits <= MAX_DIGITS - 4 && position <= lastBlock) {
        const block = view.getInt32(position, true);
        if (!isFourDigits(block)) break;
        significand = significand * 10_000 + fourDigits(block);
        digits += 4;
        exponent -= 4;
        position += 4;
      }
      byte = bytes[position];
      while (byte >= DIGIT_0 && byte <= DIGIT_9) {
        if (digits < MAX_DIGITS) {
          significand = significand * 10 + (byte - DIGIT_0);
          digits++;
          exponent--;
        }
        byte = bytes[++position];
      }
      if (position === fraction) return -1;
    }

    if (byte === LOWER_E || byte === UPPER_E) {
      byte = bytes[++position];
      const below = byte === MINUS;
      if (below || byte === PLUS) byte = bytes[++position];
      if (byte < DIGIT_0 || byte > DIGIT_9) return -1;
      let written = 0;
      do {
        if (written < MAX_EXPONENT) written = written * 10 + (byte - DIGIT_0);
        byte = bytes[++position];
      } while (byte >= DIGIT_0 && byte <= DIGIT_9);
      exponent += below ? -written : written;
    }
    this.significand = significand;
    this.exponent = exponent;
    return position;
  }
}

const HIGH_NIBBLES = 0xf0f0f0f0 | 0;

/** Whether four bytes are all '0' to '9': their high nibbles are 3, and stay 3 when 6 is added to each. */
function isFourDigits(block: number): boolean {
  return ((block & HIGH_NIBBLES) | (((block + 0x06060606) & HIGH_NIBBLES) >>> 4)) === 0x33333333;
}

/** The value of four ASCII digits, the first one in the lowest byte: pairs first, then the pair of pairs. */
function fourDigits(block: number): number {
  const ones = block & 0x0f0f0f0f;
  const pairs = (Math.imul(ones, 10) + (ones >>> 8)) & 0x00ff00ff;
  return (Math.imul(pairs, 100) + (pairs >>> 16)) & 0xffff;
}

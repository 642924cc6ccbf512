import { quoted } from '../../domain/quoted.ts';
import { sharedBytes } from '../shared-memory.ts';

const ALPHABET = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Decodes standard base64 (RFC 4648, section 4) onto shared memory, strictly: the alphabet with + and /, padded
 * to a multiple of four, no line breaks, zero bits where the last character holds more than is needed. Returns
 * what is wrong as text.
 */
export function decodeBase64(text: string): Uint8Array | string {
  if (text.length % 4 !== 0) {
    const length = `a length that is a multiple of 4, padded with =; got ${text.length} characters`;
    return faultOfAlphabet(text) ?? length;
  }
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const bytes = sharedBytes((text.length / 4) * 3 - padding);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  buffer.write(text, 'base64');
  // Node decodes leniently but encodes strictly, and both at the speed of memory: text that comes back the same
  // was strict.
  if (buffer.toString('base64') === text) return bytes;
  return faultOfAlphabet(text) ?? 'zero in the unused bits of the last character';
}

function faultOfAlphabet(text: string): string | undefined {
  if (ALPHABET.test(text)) return undefined;
  const at = text.search(/[^A-Za-z0-9+/]/);
  return `the base64 alphabet (A-Z, a-z, 0-9, +, /, and = to pad the end); got ${quoted(text.charAt(at))} at character ${at}`;
}

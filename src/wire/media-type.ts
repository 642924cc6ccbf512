import { remembering } from '../domain/remembering.ts';

/** A media type or media range with its parameters (RFC 9110, sections 8.3.1 and 12.5.1). */
export interface MediaType {
  /** `type/subtype` in lower case. */
  readonly essence: string;
  /** Names in lower case; values as sent, without their quotes. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const ESSENCE = new RegExp(`^${TOKEN}/${TOKEN}$`);
const PARAMETER = new RegExp(`^(${TOKEN})=(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)")$`);
const QUALITY = /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/** Undefined where the text is not a media type. */
export const parseMediaType = remembering((text): MediaType | undefined => {
  const [essence = '', ...rest] = splitOutsideQuotes(text, ';').map((part) => part.trim());
  if (!ESSENCE.test(essence)) return undefined;
  const parameters = new Map<string, string>();
  for (const part of rest) {
    if (part === '') continue;
    const match = PARAMETER.exec(part);
    if (match === null) return undefined;
    const [, name = '', token, quoted = ''] = match;
    parameters.set(name.toLowerCase(), token ?? quoted.replaceAll(/\\(.)/g, '$1'));
  }
  return { essence: essence.toLowerCase(), parameters };
});

/**
 * Picks from `available` (best first) by an Accept header: the type of highest quality, and of equal ones the
 * first. The most specific range that matches a type gives its quality; ranges that cannot be read are passed
 * over. Undefined where nothing is acceptable. Without a header everything is.
 */
export function negotiate(accept: string | undefined, available: readonly string[]): string | undefined {
  if (accept === undefined || accept.trim() === '') return available[0];
  const ranges = splitOutsideQuotes(accept, ',')
    .map((part) => parseMediaType(part.trim()))
    .filter((range) => range !== undefined);
  let best: string | undefined;
  let bestQuality = 0;
  for (const mediaType of available) {
    const quality = qualityOf(mediaType, ranges);
    if (quality > bestQuality) {
      best = mediaType;
      bestQuality = quality;
    }
  }
  return best;
}

function qualityOf(mediaType: string, ranges: readonly MediaType[]): number {
  let quality = 0;
  let bestSpecificity = 0;
  for (const { essence, parameters } of ranges) {
    const specificity = specificityOf(essence, mediaType);
    if (specificity <= bestSpecificity) continue;
    const written = parameters.get('q') ?? '1';
    if (!QUALITY.test(written)) continue;
    bestSpecificity = specificity;
    quality = Number(written);
  }
  return quality;
}

/** 3 for the type itself, 2 for its family, 1 for everything, 0 where the range does not match. */
function specificityOf(range: string, mediaType: string): number {
  if (range === mediaType) return 3;
  if (range === '*/*') return 1;
  const family = mediaType.slice(0, mediaType.indexOf('/') + 1);
  return range === `${family}*` ? 2 : 0;
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '"') quoted = !quoted;
    else if (quoted && text[at] === '\\') at++;
    else if (!quoted && text[at] === separator) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

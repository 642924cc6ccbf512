import { Problem } from '../domain/problem.ts';
import { quoted } from '../domain/quoted.ts';
import { remembering } from '../domain/remembering.ts';

/** Codings of responses, the preferred ones first. */
export const RESPONSE_CODINGS = ['zstd', 'br', 'gzip'] as const;
export type ResponseCoding = (typeof RESPONSE_CODINGS)[number];

const ENTRY = /^([!#$%&'*+.^_`|~0-9a-z-]+)(?:\s*;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?$/;

export interface AcceptedCodings {
  /** The coding that the caller likes best; undefined where it accepts none. */
  readonly best: ResponseCoding | undefined;
  /** Whether a response may also be sent as it is. */
  readonly identity: boolean;
}

const NOTHING_NAMED: AcceptedCodings = { best: undefined, identity: true };

/**
 * Reads an Accept-Encoding header (RFC 9110, section 12.5.3). Of equally liked codings the one comes first that costs
 * least for what it saves. `*` stands for what is not named; `identity` is accepted unless it is excluded. A coding
 * that is liked less than `identity` is not taken. Entries that cannot be read are passed over. `offered` are the
 * codings to choose among.
 */
export function readAcceptEncoding(
  header: string | undefined,
  offered: readonly ResponseCoding[] = RESPONSE_CODINGS,
): AcceptedCodings {
  if (header === undefined) return NOTHING_NAMED;
  const qualities = qualitiesOf(header);
  const any = qualities.get('*');
  const identity = qualities.get('identity');
  let best: ResponseCoding | undefined;
  let bestQuality = 0;
  for (const coding of offered) {
    const quality = qualities.get(coding) ?? any ?? 0;
    if (quality <= bestQuality || quality < (identity ?? 0)) continue;
    best = coding;
    bestQuality = quality;
  }
  return { best, identity: (identity ?? any) !== 0 };
}

/**
 * For routes that refuse, before anything is computed, what no answer could satisfy.
 * @throws {Problem} not_acceptable where the header excludes `identity` and every coding.
 */
export function checkAcceptEncoding(header: string | undefined): void {
  const { best, identity } = readAcceptEncoding(header);
  if (best !== undefined || identity) return;
  const expected = `Expected Accept-Encoding to allow identity or one of ${RESPONSE_CODINGS.join(', ')}`;
  const detail = `${expected}; got ${quoted(String(header))}.`;
  throw new Problem('not_acceptable', detail);
}

/** How much the codings are liked that a header names. */
const qualitiesOf = remembering((header): ReadonlyMap<string, number> => {
  const qualities = new Map<string, number>();
  for (const part of header.toLowerCase().split(',')) {
    const entry = ENTRY.exec(part.trim());
    if (entry !== null) qualities.set(entry[1] === 'x-gzip' ? 'gzip' : entry[1], Number(entry[2] ?? 1));
  }
  return qualities;
});

import { Problem } from '../domain/problem.ts';

/** What an If-Match or If-None-Match header names: anything at all, or contents by their hashes. */
export type EntityTags = '*' | readonly string[];

/** Conditions of a request on what is there (RFC 9110, section 13); null where it makes none. */
export interface Preconditions {
  readonly ifMatch: EntityTags | null;
  readonly ifNoneMatch: EntityTags | null;
}

/** Whether a header names what is there; `etag` is null where there is nothing. */
export function names(tags: EntityTags, etag: string | null): boolean {
  return etag !== null && (tags === '*' || tags.includes(etag));
}

/**
 * For requests that change something: both conditions must hold of what is there.
 * @throws {Problem} precondition_failed.
 */
export function checkPreconditions(
  { ifMatch, ifNoneMatch }: Preconditions,
  layer: string,
  etag: string | null,
): void {
  const found = etag === null ? 'there is none' : `it has "${etag}"`;
  if (ifMatch !== null && !names(ifMatch, etag)) {
    throw failed(`If-Match: expected layer "${layer}" ${toMatch(ifMatch)}; ${found}.`);
  }
  if (ifNoneMatch !== null && names(ifNoneMatch, etag)) {
    const expected = ifNoneMatch === '*' ? 'not to exist' : 'to have another content';
    throw failed(`If-None-Match: expected layer "${layer}" ${expected}; ${found}.`);
  }
}

function toMatch(tags: EntityTags): string {
  if (tags === '*') return 'to exist';
  if (tags.length === 0)
    return 'to have a strong tag that is named, but weak ones (W/"…") match nothing here';
  return `to have ${tags.map((tag) => `"${tag}"`).join(' or ')}`;
}

function failed(detail: string): Problem {
  return new Problem('precondition_failed', detail);
}

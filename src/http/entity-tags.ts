import type { IncomingHttpHeaders } from 'node:http';
import { Problem } from '../domain/problem.ts';
import { quoted } from '../domain/quoted.ts';
import type { EntityTags, Preconditions } from '../service/preconditions.ts';

/** One entity tag of a list, weak or strong (RFC 9110, section 8.8.3), behind elements that are empty (5.6.1.2). */
const TAG = /^[\s,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)/;

/** The entity tag of a content, as the ETag header says it. */
export function entityTag(etag: string): string {
  return `"${etag}"`;
}

/**
 * The conditions of a request that changes something. A weak tag in If-Match matches nothing, as tags are compared
 * strongly there; those of this service are strong.
 * @throws {Problem} invalid_header where a header is no list of entity tags.
 */
export function readPreconditions(headers: IncomingHttpHeaders): Preconditions {
  return {
    ifMatch: readEntityTags('If-Match', headers['if-match'], false),
    ifNoneMatch: readEntityTags('If-None-Match', headers['if-none-match'], true),
  };
}

function readEntityTags(name: string, header: string | undefined, takesWeak: boolean): EntityTags | null {
  if (header === undefined) return null;
  if (header.trim() === '*') return '*';
  const tags: string[] = [];
  let rest = header;
  do {
    const match = TAG.exec(rest);
    if (match === null) {
      const got = quoted(header);
      throw new Problem('invalid_header', `${name}: expected * or entity tags in double quotes; got ${got}.`);
    }
    if (takesWeak || match[1] === undefined) tags.push(match[2]);
    rest = rest.slice(match[0].length);
  } while (/[^\s,]/.test(rest));
  return tags;
}

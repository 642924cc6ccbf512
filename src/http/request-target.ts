import type { IncomingMessage } from 'node:http';

/** A path and a query that need no second look: nothing in them is escaped or cut off. */
const ORDINARY = /^\/[^%#]*$/;
const SCHEME_AND_AUTHORITY = /^https?:\/\/[^/?#]*/i;
/** An escape and the two characters that belong to it, hexadecimal digits or not. */
const ESCAPE = /%.{0,2}/g;
/** What means the same with and without an escape (RFC 3986, section 2.3). */
const UNRESERVED = /^[A-Za-z0-9._~-]$/;

/**
 * The target of a request as every part of the service reads it, for Fastify's `rewriteUrl`: one spelling of each address.
 * The absolute form (RFC 9112, section 3.2.2) becomes path and query, escapes that nobody needs become what they stand
 * for (RFC 3986, section 6.2.2.2), and a fragment, which no client should send, is gone. Dot segments stay: a client has
 * resolved them. `*` means the server in OPTIONS alone; for other methods nothing is at that address.
 */
export function targetOf({ url = '/', method }: Pick<IncomingMessage, 'url' | 'method'>): string {
  if (ORDINARY.test(url)) return url;
  if (url === '*') return method === 'OPTIONS' ? url : '/*';
  const [target] = url.replace(SCHEME_AND_AUTHORITY, '').split('#', 1);
  const origin = target.startsWith('/') ? target : `/${target}`;
  return origin.replace(ESCAPE, unescapeUnreserved);
}

function unescapeUnreserved(escaped: string): string {
  if (!/^%[0-9A-Fa-f]{2}$/.test(escaped)) return escaped;
  const character = String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
  return UNRESERVED.test(character) ? character : escaped;
}

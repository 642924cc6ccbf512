import { type Static, Type } from '@sinclair/typebox';
import type { ProblemCode } from '../../../domain/problem.ts';

/** What of an address names a session. */
export const SessionParams = Type.Object({
  session_id: Type.String({ description: 'As `POST /v1/sessions` has given it.' }),
});

/** The id of the session that a request is about; its route has `SessionParams`. */
export function sessionIdOf({ params }: { readonly params: unknown }): string {
  return (params as Static<typeof SessionParams>).session_id;
}

/** How a route about one session may be refused, besides what its body may be refused for. */
export const SESSION_REFUSALS: readonly ProblemCode[] = ['not_found', 'session_lost', 'store_unavailable'];

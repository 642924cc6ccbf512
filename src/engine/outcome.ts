import type { Limits } from '../domain/limits.ts';
import { Problem } from '../domain/problem.ts';
import type { CloseReason, RefusalReason } from './scheduler-state.ts';

/** Why a request gets no place or no more bytes; `taken` is what all requests together hold. */
export function refusalProblem(
  refusal: { readonly reason: RefusalReason; readonly retryAfterSeconds: number },
  bytes: number,
  taken: number,
  { queueRequests, queueBytes }: Limits,
): Problem {
  const details = {
    stopping: 'The service is stopping and takes no new requests.',
    requests: `The service is working on ${queueRequests} requests, as many as it takes at a time.`,
    bytes: `The request needs ${bytes} more bytes; of the ${queueBytes} for all requests together ${taken} are taken.`,
  };
  const code = refusal.reason === 'stopping' ? 'stopping' : 'over_capacity';
  return new Problem(code, details[refusal.reason], [], refusal.retryAfterSeconds);
}

/** Why a request was given up. Nobody reads the reason of a cancelled one, so that is no Problem. */
export function closeError(reason: CloseReason, lifetimeMs: number): Error {
  return reason === 'deadline'
    ? new Problem('deadline_exceeded', `The request was not done within ${lifetimeMs} ms.`)
    : new DOMException('The request was cancelled.', 'AbortError');
}

export function workerLostProblem(): Problem {
  return new Problem('worker_lost', 'The worker ended before the request was done.', [], 1);
}

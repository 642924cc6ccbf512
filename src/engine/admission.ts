import type {
  RefusalReason,
  SchedulerAction,
  SchedulerEvent,
  SchedulerState,
  TicketState,
} from './scheduler-state.ts';
import { retryAfterSeconds } from './slices.ts';

/** Lets a request in where there is room for one more and for its bytes, or refuses it. Returns whether it is in. */
export function admit(
  state: SchedulerState,
  event: Extract<SchedulerEvent, { kind: 'admit' }>,
  actions: SchedulerAction[],
): boolean {
  const { ticket: id, bytes, deadlineMs, isErrand = false } = event;
  const full = !isErrand && state.tickets.size - state.errands >= state.capacity.requests;
  const refusal = state.draining ? 'stopping' : full ? 'requests' : bytesRefusal(state, bytes);
  if (refusal !== null) {
    refuse(state, refusal, actions);
    return false;
  }
  state.tickets.set(id, { id, deadlineMs, jobs: new Set(), bytes, isErrand, closed: null, released: false });
  if (isErrand) state.errands++;
  state.bytes += bytes;
  return true;
}

/** Books what an admitted request allocates besides its body, or refuses it. */
export function reserve(
  state: SchedulerState,
  ticket: TicketState,
  bytes: number,
  actions: SchedulerAction[],
): void {
  const refusal = bytesRefusal(state, bytes);
  if (refusal !== null) {
    refuse(state, refusal, actions);
    return;
  }
  ticket.bytes += bytes;
  state.bytes += bytes;
}

/** Gives back all that a released request held, once none of its slices is running any more. */
export function leave(state: SchedulerState, ticket: TicketState, actions: SchedulerAction[]): void {
  if (!ticket.released || ticket.jobs.size > 0 || !state.tickets.delete(ticket.id)) return;
  if (ticket.isErrand) state.errands--;
  state.bytes -= ticket.bytes;
  actions.push({ kind: 'left', ticket: ticket.id });
}

function bytesRefusal(state: SchedulerState, bytes: number): RefusalReason | null {
  return state.bytes + bytes > state.capacity.bytes ? 'bytes' : null;
}

function refuse(state: SchedulerState, reason: RefusalReason, actions: SchedulerAction[]): void {
  actions.push({ kind: 'refuse', reason, retryAfterSeconds: retryAfterSeconds(state) });
}

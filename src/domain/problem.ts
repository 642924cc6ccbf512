import { cut } from './quoted.ts';

/**
 * Every way in which the service refuses or fails a request, in one table: the HTTP status and the title
 * of the RFC 9457 problem that the caller reads.
 */
const CATALOGUE = {
  malformed_request: { status: 400, title: 'The request is not well-formed HTTP' },
  malformed_body: { status: 400, title: 'The body cannot be read' },
  invalid_request: { status: 400, title: 'The request does not have the form of this operation' },
  invalid_header: { status: 400, title: 'A header has a value that cannot be used' },
  not_found: { status: 404, title: 'There is nothing at this address' },
  method_not_allowed: { status: 405, title: 'This address does not take this method' },
  not_acceptable: { status: 406, title: 'Nothing that the request accepts can be produced' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'Others keep changing the same thing' },
  position_conflict: { status: 409, title: 'The session is at another position' },
  session_lost: { status: 410, title: 'The session is gone' },
  precondition_failed: { status: 412, title: 'A condition of the request does not hold' },
  body_too_large: { status: 413, title: 'The body is larger than this service takes' },
  unsupported_media_type: { status: 415, title: 'The body is in a format that this operation does not read' },
  expectation_failed: { status: 417, title: 'The request expects what this service does not do' },
  invalid_tensor: { status: 422, title: 'A tensor cannot be used' },
  shape_mismatch: { status: 422, title: 'Shapes do not fit together' },
  mapping_mismatch: { status: 422, title: 'The file does not have the tensors of this mapping' },
  invalid_option: { status: 422, title: 'An option cannot be applied to this call' },
  empty_row: { status: 422, title: 'A query may see no key' },
  numeric_overflow: { status: 422, title: 'The result is too large for the precision of the call' },
  over_budget: { status: 422, title: 'The call asks for more than one request may use' },
  headers_too_large: { status: 431, title: 'The headers are larger than this service takes' },
  internal_error: { status: 500, title: 'Something went wrong inside the service' },
  layer_damaged: { status: 500, title: 'A stored layer is damaged' },
  worker_lost: { status: 503, title: 'The worker that computed this request was lost' },
  over_capacity: { status: 503, title: 'The service has no capacity left at the moment' },
  stopping: { status: 503, title: 'The service is stopping' },
  store_unavailable: { status: 503, title: 'The store of the layers cannot be reached' },
  deadline_exceeded: { status: 504, title: 'The deadline of the request passed' },
  insufficient_storage: { status: 507, title: 'The store of the layers is full' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemCode = keyof typeof CATALOGUE;
export const PROBLEM_CODES = Object.keys(CATALOGUE) as ProblemCode[];

/** One place in the request that is at fault: a JSON Pointer (RFC 6901), and what was expected and came. */
export interface Fault {
  readonly pointer: string;
  readonly detail: string;
}

/** Plain form of a problem, for crossing threads. */
export interface ProblemData {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly errors: readonly Fault[];
  readonly retryAfterSeconds?: number | undefined;
}

/** Faults that a problem names at most. */
export const MOST_FAULTS = 16;
/** Characters of a detail, far more than our own words ever take, of a pointer, and of a name in it. */
const LONGEST_DETAIL = 2048;
const LONGEST_POINTER = 512;
const LONGEST_TOKEN = 128;

/**
 * A request refused or failed in a way that the caller is told about. Its size is bounded, whatever the request holds:
 * what is longer is cut, and faults beyond the first MOST_FAULTS are left out.
 */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly errors: readonly Fault[];
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ProblemCode, detail: string, errors: readonly Fault[] = [], retryAfterSeconds?: number) {
    super(cut(detail, LONGEST_DETAIL));
    this.name = 'Problem';
    this.code = code;
    this.errors = errors.slice(0, MOST_FAULTS).map((fault) => ({
      pointer: cut(fault.pointer, LONGEST_POINTER),
      detail: cut(fault.detail, LONGEST_DETAIL),
    }));
    this.retryAfterSeconds = retryAfterSeconds;
  }

  get status(): number {
    return CATALOGUE[this.code].status;
  }

  get title(): string {
    return CATALOGUE[this.code].title;
  }

  toData(): ProblemData {
    return {
      code: this.code,
      detail: this.message,
      errors: this.errors,
      retryAfterSeconds: this.retryAfterSeconds,
    };
  }

  static from(data: ProblemData): Problem {
    return new Problem(data.code, data.detail, data.errors, data.retryAfterSeconds);
  }
}

/** A problem with one place at fault: `problemAt('shape_mismatch', '/key', 'expected …; got …')`. */
export function problemAt(code: ProblemCode, pointer: string, detail: string): Problem {
  return new Problem(code, pointer === '' ? detail : `${pointer}: ${detail}`, [{ pointer, detail }]);
}

/** One part of a JSON Pointer, escaped by RFC 6901. A name longer than any of ours is cut. */
export function pointerToken(key: string | number): string {
  return cut(String(key), LONGEST_TOKEN).replaceAll('~', '~0').replaceAll('/', '~1');
}

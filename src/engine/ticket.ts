import type { TensorFields } from '../contract/schemas/tensor.ts';
import type { Answer } from '../domain/answer.ts';
import type { AttentionCall } from '../domain/call.ts';
import type { Kernel, Memory } from '../kernels/kernel.ts';
import { allocate, planBytes } from '../kernels/memory.ts';
import { createStatus, emptyRows, overflowed } from '../kernels/status.ts';
import type { Decoded, EncodeOptions } from '../wire/format.ts';
import { formatNamed } from '../wire/registry.ts';
import { checkBudget } from './budget.ts';
import { weigh, weighJob } from './counterweight.ts';
import type { Dispatcher, JobReport, JobRequest } from './dispatcher.ts';
import { createProgress } from './shared-job.ts';
import { computeWork, decodeWork, encodeWork, isSmallAnswer, isSmallBody } from './work.ts';

export interface ComputeResult {
  /**
   * The buffers of the kernel's plan by name, among them the results that the call asked for. They are another
   * request's once this one is released.
   */
  readonly memory: Memory;
  /** Queries that may see no key; `first` counts over [B, H, L]. */
  readonly emptyRows: { readonly count: number; readonly first: number | null };
  /** Whether a result is not finite although every input was. */
  readonly overflowed: boolean;
  /** Name of the kernel. */
  readonly kernel: string;
}

/** Milliseconds that a request has spent, for Server-Timing. `queueMs` is the waiting of all its steps. */
export interface Timings {
  readonly decodeMs: number;
  readonly queueMs: number;
  readonly computeMs: number;
  readonly encodeMs: number;
}

/**
 * A request's place in the engine, from before its body is read until its response is out. Every method throws the
 * reason of `signal` once the ticket is closed: a Problem `deadline_exceeded`, or an AbortError after `cancel`.
 */
export class Ticket {
  /** Aborted when the deadline passes or the ticket is cancelled. */
  readonly signal: AbortSignal;
  readonly #id: number;
  readonly #dispatcher: Dispatcher;
  readonly #kernelOf: (call: AttentionCall) => Kernel;
  readonly #timings = { decodeMs: 0, queueMs: 0, computeMs: 0, encodeMs: 0 };

  constructor(
    dispatcher: Dispatcher,
    kernelOf: (call: AttentionCall) => Kernel,
    bytes: number,
    lifetimeMs: number,
  ) {
    const { id, signal } = dispatcher.admit(bytes, lifetimeMs);
    this.#id = id;
    this.signal = signal;
    this.#dispatcher = dispatcher;
    this.#kernelOf = kernelOf;
  }

  get timings(): Timings {
    return this.#timings;
  }

  /**
   * Reads a body, on shared memory where it is not small; on this thread where a worker would take longer to reach
   * than to do it. Throws what the format throws: Problems `malformed_body`, `invalid_tensor` and the like.
   */
  async decode(format: string, bytes: Uint8Array, fields: TensorFields): Promise<Decoded> {
    this.signal.throwIfAborted();
    const { limits } = this.#dispatcher;
    const { decode } = formatNamed(format);
    if (decode === undefined) throw new TypeError(`The format ${format} does not read.`);
    let decoded: Decoded;
    if (isSmallBody(bytes)) {
      decoded = this.#inline('decodeMs', () => decode(bytes, { fields, limits }));
    } else {
      const item = () => ({ kind: 'decode', format, bytes, fields, limits }) as const;
      const { result } = await this.#submit('decodeMs', {
        work: decodeWork(format, bytes),
        item,
        status: null,
      });
      if (result instanceof Uint8Array || result.kind !== 'decoded')
        throw new TypeError('Not a decoded body.');
      decoded = result.decoded;
    }
    weigh([bytes, decoded.tensors]);
    this.reserve(Object.values(decoded.tensors).reduce((sum, { data }) => sum + data.byteLength, 0));
    return decoded;
  }

  /**
   * Computes a call in the workers. Throws a Problem: `over_budget` before anything is allocated, `over_capacity`
   * where the memory is taken by others, `worker_lost`.
   */
  async compute(call: AttentionCall): Promise<ComputeResult> {
    this.signal.throwIfAborted();
    const kernel = this.#kernelOf(call);
    const plan = kernel.plan(call);
    checkBudget(plan, this.#dispatcher.limits);
    const block = this.#dispatcher.takeMemory(this.#id, planBytes(plan));
    const status = createStatus();
    const job = { call, plan, memory: allocate(plan, block), status };
    weighJob(job);
    const shares = this.#dispatcher.sharesOf(kernel.name, plan);
    const progress = shares === null ? null : createProgress(plan.stages.length);
    const item: JobRequest['item'] = (jobId, stage, from, to) => {
      return { kind: 'compute', jobId, job, kernel: kernel.name, tiles: progress ?? { stage, from, to } };
    };
    await this.#submit('computeMs', { work: computeWork(kernel.name, plan, shares), item, status });
    return {
      memory: job.memory,
      emptyRows: emptyRows(status),
      overflowed: overflowed(status),
      kernel: kernel.name,
    };
  }

  /** Writes a response, whose tensors lie on shared memory; on this thread where it is small. */
  async encode(format: string, answer: Answer, options: EncodeOptions): Promise<Uint8Array> {
    this.signal.throwIfAborted();
    const { encode } = formatNamed(format);
    if (encode === undefined) throw new TypeError(`The format ${format} does not write.`);
    if (isSmallAnswer(answer)) return this.#inline('encodeMs', () => encode(answer, options));
    const item = () => ({ kind: 'encode', format, answer, options }) as const;
    const { result } = await this.#submit('encodeMs', {
      work: encodeWork(format, answer),
      item,
      status: null,
    });
    if (!(result instanceof Uint8Array)) throw new TypeError('Not encoded bytes.');
    this.reserve(result.byteLength);
    return result;
  }

  /** Books bytes that the request allocates besides its body. Throws a Problem, `over_capacity`. */
  reserve(bytes: number): void {
    this.#dispatcher.reserve(this.#id, bytes);
  }

  /** Gives up what is queued, and stops what is running after the tiles it is at. */
  cancel(): void {
    this.#dispatcher.cancel(this.#id);
  }

  /** Gives the place and all bytes back. To be called once the response is out, or will never be. */
  release(): void {
    this.#dispatcher.release(this.#id);
  }

  #inline<Result>(step: keyof Timings, run: () => Result): Result {
    const startedMs = performance.now();
    try {
      return run();
    } finally {
      this.#timings[step] += performance.now() - startedMs;
    }
  }

  async #submit(step: keyof Timings, request: JobRequest): Promise<JobReport> {
    const report = await this.#dispatcher.submit(this.#id, request);
    this.#timings.queueMs += report.queueMs;
    this.#timings[step] += report.runMs;
    return report;
  }
}

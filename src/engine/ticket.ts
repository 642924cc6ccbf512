import type { LayerBody } from '../contract/schemas/layers.ts';
import type { TensorFields } from '../contract/schemas/tensor.ts';
import { type ComputeResult, writeAnswer } from '../contract/write-answer.ts';
import type { Answer } from '../domain/answer.ts';
import type { AttentionCall } from '../domain/call.ts';
import type { Kernel, Plan } from '../kernels/kernel.ts';
import { allocate, planBytes } from '../kernels/memory.ts';
import { createStatus, emptyRows, overflowed } from '../kernels/status.ts';
import type { Decoded, Encoded, EncodeOptions } from '../wire/format.ts';
import { lending } from '../wire/shared-memory.ts';
import type { Arrival } from './arrival.ts';
import { checkBudget } from './budget.ts';
import { weighJob } from './counterweight.ts';
import { decodeStep } from './decoding.ts';
import type { Dispatcher, JobRequest } from './dispatcher.ts';
import { encodeStep, reserveFresh } from './encoding.ts';
import { circumstancesOf, holdFor, meansFor } from './here.ts';
import type { KernelChoice } from './kernel-choice.ts';
import { makeLayerStep, openLayerStep } from './layer-steps.ts';
import type { LayerFile, LayerRequest } from './layer-work.ts';
import { lazily } from './lazily.ts';
import { answerPrepared, prepare } from './prepared-calls.ts';
import { type CallRequest, decodeRequest, type ReadRequest, readDecoded, readRequest } from './request.ts';
import { isFinishedHere, isReadHere, lentBytes, roomBeside, SMALL_BODY_BYTES } from './sizes.ts';
import { Steps, type Timings } from './steps.ts';
import { tilesOf } from './tiles.ts';
import { LONGEST_HELD_MS, LONGEST_HERE_MS, wayOf } from './way.ts';
import { answerWhole, type WholeAnswer } from './whole-call.ts';
import { computeWork, requestWork } from './work.ts';

interface PlannedCall {
  readonly call: AttentionCall;
  readonly kernel: Kernel;
  readonly plan: Plan;
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
  readonly #kernels: KernelChoice;
  readonly #steps: Steps;
  /** The block that a small body begins, and where it ends: the rest is for what is decoded and written on this thread. */
  #room: { readonly block: SharedArrayBuffer; readonly from: number } | null = null;

  constructor(dispatcher: Dispatcher, kernels: KernelChoice, arrival: Arrival) {
    const { id, signal } = dispatcher.admit(arrival);
    this.#id = id;
    this.signal = signal;
    this.#dispatcher = dispatcher;
    this.#kernels = kernels;
    this.#steps = new Steps(dispatcher, id);
  }

  get timings(): Timings {
    return this.#steps.timings;
  }

  /**
   * From the bytes of a body to the bytes of its answer, in as few hops to the workers as its size asks for: none where
   * everything takes less time than a hop; one where a worker may do all of it; else the workers share the arithmetic.
   * The answer holds until the ticket is released. Throws the Problems of every step.
   */
  async call(request: CallRequest): Promise<Encoded> {
    const way = wayOf(request, circumstancesOf(this.#kernels.usual, this.#dispatcher));
    if (way.begins === 'here') return this.#callFromHere(request, way.longestMs);
    const read = await this.#readAtWorker(request, way.mostFlops);
    return 'encoded' in read ? read.encoded : this.#answer(read, request.answerFormat, LONGEST_HERE_MS);
  }

  async #callFromHere(request: CallRequest, longestMs: number): Promise<Encoded> {
    this.signal.throwIfAborted();
    const { block, from } = this.#room ?? this.#roomFor(request, longestMs);
    const doHere = () => this.#doHere({ ...request, memory: block }, longestMs);
    const more = (bytes: number) => this.#dispatcher.takeMemory(this.#id, bytes);
    const done = lending(block, () => holdFor(longestMs, this.#dispatcher, doHere), { from, more });
    return 'bytes' in done ? done : this.#answerAtWorkers(done.read, done.planned, request.answerFormat);
  }

  /** Room for what is decoded and written on this thread, where there is none behind the body. */
  #roomFor(request: CallRequest, longestMs: number): { block?: SharedArrayBuffer; from?: number } {
    if (longestMs <= LONGEST_HERE_MS) return {};
    return { block: this.#dispatcher.takeMemory(this.#id, lentBytes(request)) };
  }

  /** Reads a call and, where that takes no longer, answers it. */
  #doHere(
    request: CallRequest,
    longestMs: number,
  ): Encoded | { readonly read: ReadRequest; readonly planned: PlannedCall } {
    const { limits } = this.#dispatcher;
    const decoded = lazily(() => this.#steps.inline('decodeMs', () => decodeRequest(request, limits)));
    const means = (kernel: Kernel) => meansFor(longestMs, kernel, this.#dispatcher);
    const prepared = answerPrepared(request, decoded, means);
    if (prepared !== null) return this.#booked(prepared);
    // Steps do not count each other's time.
    const body = decoded();
    const read = this.#steps.inline('decodeMs', () => readDecoded(request, body, { limits }));
    const planned = this.#planned(read);
    const encoded = this.#answerHere(read, planned, request.answerFormat, longestMs);
    if (encoded === null) return { read, planned };
    prepare(request, body, { limits }, (call) => this.#kernels.of(call));
    return encoded;
  }

  /** The first half of `call`, for whoever has something to say about the call before it is computed. */
  async read(request: CallRequest): Promise<ReadRequest> {
    this.signal.throwIfAborted();
    if (isReadHere(request)) {
      const { limits } = this.#dispatcher;
      return this.#steps.inline('decodeMs', () => readRequest(request, { limits }));
    }
    const read = await this.#readAtWorker(request, 0);
    if ('encoded' in read) throw new TypeError('More than a reading.');
    return read;
  }

  /** The second half of `call`, for a call that was read on this thread. */
  async answer(read: ReadRequest, answerFormat: string): Promise<Encoded> {
    const longestMs = this.#dispatcher.isQuiet() ? LONGEST_HELD_MS : LONGEST_HERE_MS;
    return this.#answer(read, answerFormat, longestMs);
  }

  async #answer(read: ReadRequest, answerFormat: string, longestMs: number): Promise<Encoded> {
    this.signal.throwIfAborted();
    const planned = this.#planned(read);
    const encoded = holdFor(longestMs, this.#dispatcher, () =>
      this.#answerHere(read, planned, answerFormat, longestMs),
    );
    return encoded ?? this.#answerAtWorkers(read, planned, answerFormat);
  }

  async #answerAtWorkers(read: ReadRequest, planned: PlannedCall, answerFormat: string): Promise<Encoded> {
    this.reserve(read.tensorBytes);
    const answer = writeAnswer(read.call, await this.#compute(planned, read.tensorBytes > 0));
    return this.encode(answerFormat, answer, read.options);
  }

  /** Resolves when the request has been released and no worker touches anything of it any more. */
  departure(): Promise<void> {
    return this.#dispatcher.departure(this.#id);
  }

  /** Throws at once where the deadline that the body names has passed already. */
  #planned({ call, timeoutMs }: ReadRequest): PlannedCall {
    if (timeoutMs !== undefined) {
      this.#dispatcher.hasten(this.#id, timeoutMs);
      this.signal.throwIfAborted();
    }
    return this.#plan(call);
  }

  #answerHere(
    read: ReadRequest,
    { kernel, plan }: PlannedCall,
    answerFormat: string,
    longestMs: number,
  ): Encoded | null {
    if (!isFinishedHere(plan, answerFormat, read.options)) return null;
    const means = meansFor(longestMs, kernel, this.#dispatcher);
    const answer = answerWhole(read, answerFormat, kernel, plan, means);
    return answer && this.#booked(answer);
  }

  #booked({ encoded, kernel, flops, decodeMs = 0, computeMs, encodeMs }: WholeAnswer): Encoded {
    this.#steps.timings.decodeMs += decodeMs;
    this.#steps.timings.computeMs += computeMs;
    this.#steps.timings.encodeMs += encodeMs;
    this.#dispatcher.measured(kernel, flops, computeMs);
    return encoded;
  }

  /** Has a worker read a body, and answer it too where it takes no more arithmetic than `mostFlops`. */
  async #readAtWorker(
    request: CallRequest,
    mostFlops: number,
  ): Promise<ReadRequest | { readonly encoded: Encoded }> {
    this.signal.throwIfAborted();
    const { limits } = this.#dispatcher;
    const kernel = this.#kernels.forced;
    const memory = this.#dispatcher.takeMemory(this.#id, lentBytes(request));
    const lent = { ...request, memory };
    const item = () => {
      const { idleThreads } = this.#dispatcher;
      return { kind: 'request', request: lent, limits, kernel, mostFlops, idleThreads } as const;
    };
    const { result, queueMs } = await this.#steps.task(requestWork(request), item);
    this.#steps.timings.queueMs += queueMs;
    if (result.kind === 'read') {
      this.#steps.timings.decodeMs += result.readMs;
      return result.read;
    }
    if (result.kind !== 'answered') throw new TypeError('Not an answered request.');
    this.#steps.timings.decodeMs += result.readMs;
    const encoded = this.#booked(result.answer);
    reserveFresh(this.#steps, encoded);
    return { encoded };
  }

  /** Reads a body. Throws what the format throws: Problems `malformed_body`, `invalid_tensor` and the like. */
  async decode(format: string, bytes: Uint8Array, fields: TensorFields): Promise<Decoded> {
    this.signal.throwIfAborted();
    const { limits } = this.#dispatcher;
    return decodeStep(this.#steps, { format, bytes, fields, limits });
  }

  /**
   * Computes a call in the workers. Throws a Problem: `over_budget` before anything is allocated, `over_capacity`
   * where the memory is taken by others, `worker_lost`.
   */
  async compute(call: AttentionCall): Promise<ComputeResult> {
    this.signal.throwIfAborted();
    return this.#compute(this.#plan(call), true);
  }

  #plan(call: AttentionCall): PlannedCall {
    const kernel = this.#kernels.of(call);
    const plan = kernel.plan(call);
    checkBudget(plan, this.#dispatcher.limits);
    return { call, kernel, plan };
  }

  /** `isFresh`: whether the call refers to memory that is neither the pool's nor kept. */
  async #compute({ call, kernel, plan }: PlannedCall, isFresh: boolean): Promise<ComputeResult> {
    const block = this.#dispatcher.takeMemory(this.#id, planBytes(plan));
    const status = createStatus();
    const job = { call, plan, memory: allocate(plan, block), status };
    weighJob(job, isFresh);
    const shares = this.#dispatcher.sharesOf(kernel, plan);
    const tiles = tilesOf(kernel, plan, shares, () => this.#dispatcher.idleThreads);
    const item: JobRequest['item'] = (jobId, ...range) => {
      return { kind: 'compute', jobId, job, kernel: kernel.name, tiles: tiles(...range), isFresh };
    };
    const work = computeWork(kernel.name, plan, shares);
    this.#steps.timed('computeMs', await this.#steps.submit({ work, item, status }));
    return {
      memory: job.memory,
      room: job.memory.output.byteOffset,
      emptyRows: emptyRows(status),
      overflowed: overflowed(status),
      kernel: kernel.name,
    };
  }

  /** Writes a response, whose tensors lie on shared memory; on this thread where it is small. */
  async encode(format: string, answer: Answer, options: EncodeOptions): Promise<Encoded> {
    this.signal.throwIfAborted();
    return encodeStep(this.#steps, format, answer, options);
  }

  /**
   * Shared memory for a body, which may hold anything; `booked` bytes of it were with the admission. It goes back when
   * the request is released, and so does what is kept free behind a small body: thousands of small buffers a second, left
   * to the garbage collector, would have it at work all the time.
   */
  takeBody(bytes: number, booked: number): Uint8Array {
    this.signal.throwIfAborted();
    const isSmall = bytes <= SMALL_BODY_BYTES;
    const block = this.#dispatcher.takeMemory(this.#id, isSmall ? bytes + roomBeside(bytes) : bytes, booked);
    if (isSmall) this.#room = { block, from: bytes };
    return new Uint8Array(block, 0, bytes);
  }

  /** Makes the file of a layer out of a body, in a worker. Throws the Problems of reading a layer. */
  async makeLayer(request: LayerRequest): Promise<LayerFile> {
    this.signal.throwIfAborted();
    return makeLayerStep(this.#steps, request, this.#dispatcher.limits);
  }

  /** Checks the file of a layer, on shared memory, and reads it, in a worker; null where its hash is another one. */
  async openLayer(bytes: Uint8Array, etag: string): Promise<LayerBody | null> {
    this.signal.throwIfAborted();
    return openLayerStep(this.#steps, { bytes, etag }, this.#dispatcher.limits);
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
}

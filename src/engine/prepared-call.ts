import { writeAnswer } from '../contract/write-answer.ts';
import type { Answer } from '../domain/answer.ts';
import type { RealArray } from '../domain/tensor.ts';
import type { Job, Kernel } from '../kernels/kernel.ts';
import { emptyRows, overflowed, resetStatus } from '../kernels/status.ts';
import { copyBytes } from '../wire/copy-bytes.ts';
import { firstNotFinite } from '../wire/finite.ts';
import type { Decoded, EncodeOptions } from '../wire/format.ts';
import { encoderNamed } from '../wire/registry.ts';
import { planFlops } from './budget.ts';
import type { WholeAnswer } from './whole-call.ts';
import { helpersOf } from './work.ts';

/** The tokens of a call as the kernel reads them, by the names of their fields. */
export type Inputs = Readonly<Record<string, RealArray>>;

/** Where in a body the elements of a tensor lie, which are held as they lie there. */
export interface Place {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** Bodies whose elements need no decoding: how long they are, and where each tensor is. */
export interface BodyLayout {
  readonly bytes: number;
  readonly places: readonly Place[];
}

/**
 * A call of a layer that has been read, planned and opened, with memory for its tokens: elements are taken in, an answer
 * comes out. All of it takes place in one go, so one call after the other can use that memory, and all of a thread the
 * memory that they compute in.
 */
export class PreparedCall {
  readonly kernel: Kernel;
  readonly flops: number;
  readonly #job: Job;
  readonly #inputs: Inputs;
  readonly #layout: BodyLayout | null;
  readonly #options: EncodeOptions;
  /** The answer of the call before, whose tensors are views on the memory of the job; null before the first. */
  #answer: Answer | null = null;

  /** `layout` is null where elements have to be decoded. */
  constructor(kernel: Kernel, job: Job, inputs: Inputs, layout: BodyLayout | null, options: EncodeOptions) {
    this.kernel = kernel;
    this.flops = planFlops(job.plan);
    this.#job = job;
    this.#inputs = inputs;
    this.#layout = layout;
    this.#options = options;
  }

  /** Takes the elements from a body of the form of this call; false where that has to be decoded and looked at. */
  takeBody(body: Uint8Array): boolean {
    if (this.#layout === null || body.length !== this.#layout.bytes) return false;
    for (const { name, from, to } of this.#layout.places) {
      const input = this.#inputs[name];
      const { buffer, byteOffset, byteLength } = input;
      copyBytes(body.subarray(from, to), new Uint8Array(buffer, byteOffset, byteLength), 0);
      if (firstNotFinite(input) >= 0) return false;
    }
    return true;
  }

  /** Takes the elements of a decoded body of the form of this call. */
  takeTensors(tensors: Decoded['tensors']): void {
    for (const name in this.#inputs) this.#inputs[name].set(tensors[name].data);
  }

  /** Computes and writes the answer to what has been taken, while so many other threads are idle. */
  answer(answerFormat: string, idleThreads: number): WholeAnswer {
    const helpers = helpersOf(this.kernel, this.#job.plan, idleThreads);
    const startMs = performance.now();
    resetStatus(this.#job.status);
    this.kernel.runAll(this.#job, helpers);
    const computedMs = performance.now();
    const encoded = encoderNamed(answerFormat)(this.#currentAnswer(), this.#options);
    return {
      encoded,
      kernel: this.kernel.name,
      flops: this.flops / (1 + helpers),
      computeMs: computedMs - startMs,
      encodeMs: performance.now() - computedMs,
    };
  }

  /** Answers of one form differ in their numbers alone, unless a number is beyond the range of its type. */
  #currentAnswer(): Answer {
    const { call, memory, status } = this.#job;
    if (this.#answer === null || overflowed(status)) {
      this.#answer = writeAnswer(call, {
        memory,
        emptyRows: emptyRows(status),
        overflowed: overflowed(status),
        kernel: this.kernel.name,
      });
    }
    return this.#answer;
  }
}

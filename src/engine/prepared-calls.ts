import type { Layer } from '../contract/layer.ts';
import { type CallContext, operationNamed } from '../contract/operations.ts';
import { writeAnswer } from '../contract/write-answer.ts';
import type { Answer } from '../domain/answer.ts';
import { buffersOf } from '../domain/buffers.ts';
import type { AttentionCall } from '../domain/call.ts';
import { RecentMap } from '../domain/recent-map.ts';
import type { RealArray, Tensor } from '../domain/tensor.ts';
import type { Job, Kernel } from '../kernels/kernel.ts';
import { allocate, planBytes } from '../kernels/memory.ts';
import { createStatus, emptyRows, overflowed, resetStatus } from '../kernels/status.ts';
import type { Decoded, EncodeOptions } from '../wire/format.ts';
import { encoderNamed } from '../wire/registry.ts';
import { checkBudget, planFlops } from './budget.ts';
import { type CallRequest, decodeRequest, readDecoded } from './request.ts';
import type { WholeAnswer } from './whole-call.ts';

/** A call of a layer that has been read, planned and opened, in memory of its own: numbers go in, an answer comes out. */
interface PreparedCall {
  readonly inputs: Readonly<Record<string, RealArray>>;
  readonly kernel: Kernel;
  readonly job: Job;
  readonly options: EncodeOptions;
  readonly flops: number;
  /** The answer of the call before, whose tensors are views on the memory of the job; null before the first. */
  answer: Answer | null;
}

/** A form that has come once: whether it comes again has to be seen. */
const SEEN = 'seen';
/** A form whose calls take too much memory. */
const LARGE = 'large';

/** Memory of one prepared call, and of all of this thread. */
const LARGEST_BYTES = 1024 * 1024;
const MOST_BYTES = 32 * 1024 * 1024;
const FORMS_OF_A_LAYER = 64;
/** A form is kept with what is known of it, and some formats put no end to it. */
const LONGEST_FORM = 4096;

type Form = PreparedCall | typeof SEEN | typeof LARGE;
type Forms = RecentMap<string, Form>;

/** Keyed by the packed weights, which are of one layer as long as it is open and go with it. */
let layers = new WeakMap<Layer['packed'], Forms>();
let preparedBytes = 0;

/**
 * Answers a call of a layer that has come before with other numbers: in microseconds, where reading its options,
 * planning and describing it to the kernel would take several times as long as the arithmetic. Returns null where it has
 * not, or takes more than `mostFlops` of arithmetic with its kernel.
 */
export function answerPrepared(
  request: CallRequest,
  decoded: Decoded,
  mostFlops: (kernel: string) => number,
): WholeAnswer | null {
  const prepared = find(request, decoded);
  if (typeof prepared !== 'object' || prepared.flops > mostFlops(prepared.kernel.name)) return null;
  const startMs = performance.now();
  for (const name in prepared.inputs) prepared.inputs[name].set(decoded.tensors[name].data);
  const { job, kernel, flops } = prepared;
  resetStatus(job.status);
  kernel.runAll(job);
  const computedMs = performance.now();
  const encoded = encoderNamed(request.answerFormat)(answerOf(prepared), prepared.options);
  return {
    encoded,
    kernel: kernel.name,
    flops,
    computeMs: computedMs - startMs,
    encodeMs: performance.now() - computedMs,
  };
}

/** Of one form the answers differ in their numbers alone, unless a number is beyond the range of its type. */
function answerOf(prepared: PreparedCall): Answer {
  const { job, kernel } = prepared;
  if (prepared.answer !== null && !overflowed(job.status)) return prepared.answer;
  prepared.answer = writeAnswer(job.call, {
    memory: job.memory,
    emptyRows: emptyRows(job.status),
    overflowed: overflowed(job.status),
    kernel: kernel.name,
  });
  return prepared.answer;
}

/** Gets ready for calls of this form when it has been answered for the second time. */
export function prepare(
  request: CallRequest,
  decoded: Decoded,
  context: CallContext,
  kernelOf: (call: AttentionCall) => Kernel,
): void {
  const forms = formsOf(request, decoded);
  if (forms === null) return;
  const key = keyOf(request, decoded);
  const known = forms.get(key);
  if (known === undefined) forms.set(key, SEEN);
  if (known !== SEEN) return;
  // The tensors of the body go with it.
  const again = decodeRequest(request, context.limits);
  const tensors = Object.fromEntries(
    Object.entries(again.tensors).map(([name, tensor]) => [name, ownCopy(tensor)]),
  );
  const { call, options } = readDecoded(request, { ...again, tensors }, context);
  const kernel = kernelOf(call);
  const plan = kernel.plan(call);
  checkBudget(plan, context.limits);
  const bytes = planBytes(plan) + ownBytes(call, request.layer);
  if (bytes > LARGEST_BYTES) {
    forms.set(key, LARGE);
    return;
  }
  preparedBytes += bytes;
  if (preparedBytes > MOST_BYTES) {
    layers = new WeakMap();
    preparedBytes = bytes;
    return;
  }
  const job = { call, plan, memory: allocate(plan), status: createStatus() };
  const inputs = Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, data as RealArray]),
  );
  forms.set(key, { inputs, kernel, job, options, flops: planFlops(plan), answer: null });
}

function find(request: CallRequest, decoded: Decoded): Form | undefined {
  const forms = request.layer && layers.get(request.layer.packed);
  return forms?.get(keyOf(request, decoded));
}

/** Where calls of this form are kept; null where what is read of a call hangs on the elements of its tensors. */
function formsOf({ layer, operation }: CallRequest, { form, tensors, timeoutMs }: Decoded): Forms | null {
  if (layer === undefined || form === undefined || timeoutMs !== undefined) return null;
  if (form.length > LONGEST_FORM) return null;
  const { tokens } = operationNamed(operation);
  if (!Object.keys(tensors).every((name) => tokens.includes(name))) return null;
  let forms = layers.get(layer.packed);
  if (forms === undefined) {
    forms = new RecentMap(FORMS_OF_A_LAYER);
    layers.set(layer.packed, forms);
  }
  return forms;
}

function keyOf(
  { operation, layer, format, inference, answerFormat }: CallRequest,
  { form }: Decoded,
): string {
  const target = inference === undefined ? '' : `${inference.model} ${inference.version}`;
  return `${operation} ${layer?.name} ${format} ${answerFormat} ${target}\n${form}`;
}

/** Bytes that a call refers to besides its layer: its tokens, and weights that it has in another precision. */
function ownBytes(call: AttentionCall, layer: Layer | undefined): number {
  const ofLayer = buffersOf(layer);
  return [...buffersOf(call)].reduce((sum, one) => (ofLayer.has(one) ? sum : sum + one.byteLength), 0);
}

function ownCopy(tensor: Tensor): Tensor {
  const { data } = tensor;
  const copy = new (data.constructor as typeof Uint8Array)(new SharedArrayBuffer(data.byteLength));
  copy.set(data as Uint8Array);
  return { ...tensor, data: copy } as Tensor;
}

import type { Layer } from '../contract/layer.ts';
import { type CallContext, operationNamed } from '../contract/operations.ts';
import { buffersOf } from '../domain/buffers.ts';
import type { AttentionCall } from '../domain/call.ts';
import { RecentMap } from '../domain/recent-map.ts';
import type { RealArray, Tensor } from '../domain/tensor.ts';
import type { Kernel } from '../kernels/kernel.ts';
import { allocate, planBytes } from '../kernels/memory.ts';
import { createStatus } from '../kernels/status.ts';
import type { Decoded } from '../wire/format.ts';
import { formatNamed } from '../wire/registry.ts';
import { checkBudget } from './budget.ts';
import { type BodyLayout, PreparedCall } from './prepared-call.ts';
import { type CallRequest, decodeRequest, readDecoded } from './request.ts';
import type { Means, WholeAnswer } from './whole-call.ts';

/** A form that has come once: whether it comes again has to be seen. */
const SEEN = 'seen';
/** A form whose calls take too much memory. */
const LARGE = 'large';

/** Memory of one prepared call, in which it computes, and what all of this thread keep. */
const LARGEST_BYTES = 4 * 1024 * 1024;
const MOST_BYTES = 32 * 1024 * 1024;
const FORMS_OF_A_LAYER = 64;
/** A form is kept with what is known of it, and some formats put no end to it. */
const LONGEST_FORM = 4096;

type Form = PreparedCall | typeof SEEN | typeof LARGE;
type Forms = RecentMap<string, Form>;

/** Keyed by the packed weights, which are of one layer as long as it is open and go with it. */
let layers = new WeakMap<Layer['packed'], Forms>();
/** In which all of this thread compute, one after the other. */
let workspace: SharedArrayBuffer | null = null;
/** Those of forms that have gone with their layer count until all are forgotten. */
let preparedBytes = 0;

/**
 * Answers a call of a layer that has come before with other numbers: in microseconds, where reading its options,
 * planning and describing it to the kernel would take several times as long as the arithmetic, and decoding it too, where
 * its numbers lie behind a head that says the rest. Returns null where it has not, or takes more arithmetic than calls of
 * its kernel may. Throws what decoding throws.
 */
export function answerPrepared(
  request: CallRequest,
  decoded: () => Decoded,
  meansOf: (kernel: Kernel) => Means,
): WholeAnswer | null {
  const forms = request.layer && layers.get(request.layer.packed);
  if (forms === undefined) return null;
  const key = keyOf(request, decoded);
  const prepared = key === undefined ? undefined : forms.get(key);
  if (!(prepared instanceof PreparedCall)) return null;
  const { mostFlops, idleThreads } = meansOf(prepared.kernel);
  if (prepared.flops > mostFlops) return null;
  const startMs = performance.now();
  const isTaken = prepared.takeBody(request.bytes);
  const decodeMs = performance.now() - startMs;
  if (!isTaken) prepared.takeTensors(decoded().tensors);
  return { ...prepared.answer(request.answerFormat, idleThreads), decodeMs };
}

/** Gets ready for calls of this form when it has been answered for the second time. */
export function prepare(
  request: CallRequest,
  decoded: Decoded,
  context: CallContext,
  kernelOf: (call: AttentionCall) => Kernel,
): void {
  const forms = formsOf(request, decoded);
  const key = keyOf(request, () => decoded);
  if (forms === null || key === undefined) return;
  const known = forms.get(key);
  if (known === undefined) forms.set(key, SEEN);
  if (known !== SEEN) return;
  // The tensors of the body go with it.
  const { again, layout } = decodeInPlace(request, context);
  const tensors = Object.fromEntries(
    Object.entries(again.tensors).map(([name, tensor]) => [name, ownCopy(tensor)]),
  );
  const { call, options } = readDecoded(request, { ...again, tensors }, context);
  const kernel = kernelOf(call);
  const plan = kernel.plan(call);
  checkBudget(plan, context.limits);
  const keptBytes = ownBytes(call, request.layer);
  if (planBytes(plan) + keptBytes > LARGEST_BYTES) {
    forms.set(key, LARGE);
    return;
  }
  preparedBytes += keptBytes;
  if (preparedBytes > MOST_BYTES) {
    layers = new WeakMap();
    preparedBytes = 0;
    return;
  }
  workspace ??= new SharedArrayBuffer(LARGEST_BYTES);
  const job = { call, plan, memory: allocate(plan, workspace), status: createStatus() };
  const inputs = Object.fromEntries(
    Object.entries(tensors).map(([name, { data }]) => [name, data as RealArray]),
  );
  forms.set(key, new PreparedCall(kernel, job, inputs, layout, options));
}

/** Where calls of this form are kept; null where what is read of a call hangs on the elements of its tensors. */
function formsOf({ layer, operation }: CallRequest, { tensors, timeoutMs }: Decoded): Forms | null {
  if (layer === undefined || timeoutMs !== undefined) return null;
  const { tokens } = operationNamed(operation);
  if (!Object.keys(tensors).every((name) => tokens.includes(name))) return null;
  let forms = layers.get(layer.packed);
  if (forms === undefined) {
    forms = new RecentMap(FORMS_OF_A_LAYER);
    layers.set(layer.packed, forms);
  }
  return forms;
}

/** Everything of a request but the elements of its tensors; undefined where nobody puts that together, or it is long. */
function keyOf(request: CallRequest, decoded: () => Decoded): string | undefined {
  const { operation, layer, format, inference, answerFormat } = request;
  const head = headOf(request);
  if (head !== undefined && head.length > LONGEST_FORM) return undefined;
  const form =
    head === undefined
      ? decoded().form
      : Buffer.from(head.buffer, head.byteOffset, head.length).toString('latin1');
  if (form === undefined || form.length > LONGEST_FORM) return undefined;
  const target = inference === undefined ? '' : `${inference.model} ${inference.version}`;
  return `${operation} ${layer?.name} ${format} ${answerFormat} ${target}\n${form}`;
}

function headOf({ format, bytes, inference }: CallRequest): Uint8Array | undefined {
  return formatNamed(format).headOf?.(bytes, inference);
}

/** Bytes of the widest elements: where tensors lie at multiples of it they may be looked at where they are. */
const ALIGNMENT = 8;

/** A body decoded, and where in it the tensors lie; no layout where one of them is not as it lies there. */
function decodeInPlace(
  request: CallRequest,
  { limits }: CallContext,
): { again: Decoded; layout: BodyLayout | null } {
  const { bytes } = request;
  const lead = -(headOf(request)?.length ?? 0) & (ALIGNMENT - 1);
  const body = new Uint8Array(new SharedArrayBuffer(lead + bytes.length), lead);
  body.set(bytes);
  const again = decodeRequest({ ...request, bytes: body }, limits);
  const places = Object.entries(again.tensors).map(([name, { data }]) => {
    const from = data.byteOffset - lead;
    return { name, from, to: from + data.byteLength };
  });
  const areInPlace = Object.values(again.tensors).every(({ data }) => data.buffer === body.buffer);
  return { again, layout: areInPlace ? { bytes: bytes.length, places } : null };
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

import { type InferenceRequestBody, InferenceRequestSchema } from '../../contract/schemas/inference.ts';
import { bodyValidator } from '../../contract/validation/body-validator.ts';
import type { ElementKind, Precision, Tensor } from '../../domain/tensor.ts';
import type { Elements } from '../dtypes.ts';
import type { Decoded, DecodeOptions } from '../format.ts';
import { heldPrecision } from '../held-precision.ts';
import type { Cursor } from '../json/cursor.ts';
import type { DecimalScanner } from '../json/decimal-scanner.ts';
import { faultyElement } from '../json/element-faults.ts';
import { releaseScratch } from '../json/elements.ts';
import { settle } from '../json/lifted-tensor.ts';
import { type DataPlaces, type PlacedInput, placeInputs } from './inputs.ts';
import { readData } from './json-data.ts';
import { readOutputs } from './outputs.ts';
import { readParameters } from './parameters.ts';
import { scanRequest, splitRequest } from './scan.ts';

let validator: ReturnType<typeof bodyValidator> | undefined;

/**
 * Decodes an inference request to what JSON gives for the same call: inputs are tensors by the path of their field, and
 * parameters the options beside them. Elements that are JSON numbers go from the bytes into typed arrays; those behind
 * the JSON are views on the body where they lie as they are needed.
 *
 * Throws `malformed_body` (400) for what is not JSON, nests too deep, or has missing or left-over bytes; `invalid_request`
 * (400) for what is no request of this operation; and `invalid_tensor` (422) for elements that cannot be used.
 */
export function decodeInference(bytes: Uint8Array, options: DecodeOptions): Decoded {
  const { fields, limits, inference } = options;
  const { json, binary } = splitRequest(bytes, inference?.headerBytes);
  try {
    const { cursor, numbers, text, lifted } = scanRequest(json, limits);
    const { request, places } = checked(JSON.parse(text), lifted);
    const {
      envelope,
      binary: byDefault,
      timeoutMs,
      places: optionPlaces,
    } = readParameters(request.parameters ?? {}, fields, limits, inference?.inSequence);
    const outputs = readOutputs(request.outputs, envelope, fields, byDefault);
    const placed = placeInputs(request.inputs, places, binary, fields, inference?.inSequence);
    const precision = heldPrecision(envelope, options);
    const tensors: Record<string, Tensor> = {};
    for (const one of placed) {
      tensors[one.path] = readInput(one, fields[one.path], precision, cursor, numbers);
    }
    const { model = '', version } = inference ?? {};
    const response = { model, version, id: request.id, outputs, binary: byDefault };
    return {
      envelope,
      tensors,
      form: formOf(json, binary),
      reply: { inference: response },
      timeoutMs,
      places: optionPlaces,
    };
  } finally {
    releaseScratch();
  }
}

/** Checks the form of a request in which an ordinal stands for the elements of each input. */
function checked(
  envelope: Record<string, unknown>,
  lifted: readonly number[],
): { request: InferenceRequestBody; places: DataPlaces } {
  const entries: unknown[] = Array.isArray(envelope.inputs) ? envelope.inputs : [];
  const places = entries.map((entry) => {
    if (!isObject(entry) || !Object.hasOwn(entry, 'data')) return undefined;
    const start = lifted[entry.data as number];
    delete entry.data;
    return start;
  });
  validator ??= bodyValidator(InferenceRequestSchema);
  const fault = validator(envelope);
  if (fault !== null) throw fault;
  return { request: envelope as InferenceRequestBody, places };
}

function readInput(
  { source, ...input }: PlacedInput,
  kind: ElementKind,
  precision: Precision,
  cursor: Cursor,
  numbers: DecimalScanner,
): Tensor {
  const { pointer, datatype, shape } = input;
  const { dtype } = datatype;
  if ('bytes' in source) {
    const elements = readBytes(source.bytes, input);
    return settle({ dtype, shape, data: elements, form: 'binary' }, kind, precision, pointer);
  }
  cursor.position = source.start;
  const [, ...names] = `${pointer}/data`.split('/');
  cursor.path.splice(0, cursor.path.length, ...names);
  const elements = readData(cursor, numbers, datatype, shape);
  return settle({ dtype, shape, data: elements, form: 'flat' }, kind, precision, pointer);
}

function readBytes(
  bytes: Uint8Array,
  { path, datatype, shape, pointer }: Omit<PlacedInput, 'source'>,
): Elements {
  const elements = datatype.read(bytes);
  if (!('element' in elements)) return elements;
  throw faultyElement(elements, shape, pointer, `/${path}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of longer requests it takes less time to read them again than to compare them. */
const LONGEST_FORM = 1024;

/** Where tensors follow the JSON, that says everything but their elements. */
function formOf(json: Uint8Array, binary: Uint8Array | undefined): string | undefined {
  if (binary === undefined || json.length > LONGEST_FORM) return undefined;
  return Buffer.from(json.buffer, json.byteOffset, json.length).toString('latin1');
}

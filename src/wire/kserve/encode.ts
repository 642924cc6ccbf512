import type { Answer, AnswerTensor, Json } from '../../domain/answer.ts';
import { problemAt } from '../../domain/problem.ts';
import { elementCount } from '../../domain/tensor.ts';
import { assertAllWritable } from '../finite.ts';
import type { Encoded, EncodeOptions } from '../format.ts';
import { COMMA, SPACE } from '../json/ascii.ts';
import { ByteWriter, releaseBytes } from '../json/byte-writer.ts';
import { headedBytes } from '../shared-memory.ts';
import type { InferenceResponse } from './inference.ts';

const DATATYPE: Readonly<Record<AnswerTensor['dtype'], string>> = {
  float32: 'FP32',
  float64: 'FP64',
  int32: 'INT32',
};

/** The binary part begins at a multiple of this, so that clients need no copy to look at it as numbers. */
const ALIGNMENT = 8;

interface Output {
  readonly name: string;
  readonly tensor: AnswerTensor;
  readonly binary: boolean;
}

/** What stands before the bytes of an answer whose outputs are all binary: it does not change with their elements. */
interface Frame {
  readonly inference: InferenceResponse;
  readonly head: Uint8Array;
  readonly tensors: readonly AnswerTensor[];
  readonly batch: number | undefined;
}

/** Of answers whose tensors are filled again and again. */
const frames = new WeakMap<Answer, Frame>();

/**
 * Encodes an answer as an inference response: JSON in UTF-8, and behind it the little-endian bytes of the outputs that
 * are wanted so, in the order of `outputs`. Where there are such, the JSON is padded with spaces, which count, to a
 * multiple of 8. Members of the answer that are no tensors are parameters, objects among them as JSON strings.
 *
 * As JSON, a float32 is the shortest decimal that reads back as it, and -Infinity is null. Throws `invalid_request` for
 * an output that was asked for and that the call does not have, and an Error where a result holds NaN or Infinity.
 */
export function encodeInference(answer: Answer, { inference }: EncodeOptions): Encoded {
  if (inference === undefined) throw new TypeError('An inference response belongs to an inference request.');
  const known = frames.get(answer);
  if (known?.inference === inference) return withTensors(known);
  const outputs = selectOutputs(answer, inference);
  const json = writeJson(answer, inference, outputs);
  const tensors = outputs.filter(({ binary }) => binary).map(({ tensor }) => tensor);
  const batch = batchOf(answer);
  if (tensors.length === 0) return { bytes: json, batch };
  const frame = { inference, head: padded(json), tensors, batch };
  if (tensors.length === outputs.length) frames.set(answer, frame);
  return withTensors(frame);
}

function selectOutputs({ tensors }: Answer, { outputs, binary }: InferenceResponse): readonly Output[] {
  if (outputs === null) return Object.entries(tensors).map(([name, tensor]) => ({ name, tensor, binary }));
  return outputs.map((output, ordinal) => {
    const tensor = tensors[output.name];
    if (tensor !== undefined) return { ...output, tensor };
    const detail = `Expected an output of this call, ${Object.keys(tensors).join(', ')}; got "${output.name}"`;
    throw problemAt('invalid_request', `/outputs/${ordinal}/name`, detail);
  });
}

function batchOf({ envelope: { applied } }: Answer): number | undefined {
  const isObject = typeof applied === 'object' && applied !== null && 'batch' in applied;
  return isObject && typeof applied.batch === 'number' ? applied.batch : undefined;
}

function writeJson(answer: Answer, inference: InferenceResponse, outputs: readonly Output[]): Uint8Array {
  const writer = new ByteWriter();
  try {
    writer.text(head(answer, inference));
    for (const [ordinal, output] of outputs.entries()) {
      if (ordinal > 0) writer.byte(COMMA);
      writeOutput(writer, output);
    }
    writer.text(']}');
    return writer.finish();
  } finally {
    releaseBytes();
  }
}

/** The response up to its first output. */
function head({ envelope }: Answer, { model, version, id }: InferenceResponse): string {
  const members = { model_name: model, model_version: version, id, parameters: parametersOf(envelope) };
  return `${JSON.stringify(members).slice(0, -1)},"outputs":[`;
}

/** Parameters are numbers, strings, true or false. */
function parametersOf(envelope: Answer['envelope']): Record<string, Json> {
  const entries = Object.entries(envelope).map(([name, value]) => {
    return [name, typeof value === 'object' ? JSON.stringify(value) : value];
  });
  return Object.fromEntries(entries);
}

function writeOutput(writer: ByteWriter, { name, tensor, binary }: Output): void {
  const { dtype, shape, data } = tensor;
  const count = elementCount(shape);
  if (count !== data.length) throw new Error(`A result of shape [${shape}] has ${data.length} elements`);
  const described = { name, datatype: DATATYPE[dtype], shape };
  if (binary) {
    writer.text(JSON.stringify({ ...described, parameters: { binary_data_size: data.byteLength } }));
    return;
  }
  writer.text(`${JSON.stringify(described).slice(0, -1)},"data":[`);
  writer.numbers(data, 0, count);
  writer.text(']}');
}

function padded(json: Uint8Array): Uint8Array {
  const head = new Uint8Array(Math.ceil(json.length / ALIGNMENT) * ALIGNMENT);
  head.set(json);
  return head.fill(SPACE, json.length);
}

function withTensors({ head, tensors, batch }: Frame): Encoded {
  for (const { data } of tensors) assertAllWritable(data);
  return { bytes: headedBytes(head, tensors), headerBytes: head.length, batch };
}

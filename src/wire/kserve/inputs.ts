import type { InferenceRequestBody } from '../../contract/schemas/inference.ts';
import type { TensorFields } from '../../contract/schemas/tensor.ts';
import { suggest } from '../../contract/validation/suggest.ts';
import { listWords } from '../../contract/validation/wording.ts';
import { type Problem, type ProblemCode, problemAt } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import { type ElementKind, elementCount, formatShape } from '../../domain/tensor.ts';
import { faultOfShape } from '../dtypes.ts';
import { DATATYPE_NAMES, type Datatype, datatypeNamed } from './datatypes.ts';
import { inputNames } from './names.ts';

/** One input, before its elements are read. */
export interface PlacedInput {
  /** The field that it is. */
  readonly path: string;
  readonly pointer: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** Where its elements are: in the JSON from a place on, or these bytes behind it. */
  readonly source: { readonly start: number } | { readonly bytes: Uint8Array };
}

/** Where the `data` of each input starts in the JSON; undefined where it has none. */
export type DataPlaces = readonly (number | undefined)[];

/**
 * Finds the elements of every input, and checks that all that is said of them fits together, before any is read.
 * `binary` is what follows the JSON; undefined where no header told that anything does.
 * @throws {Problem} invalid_request, or invalid_tensor for a datatype of another kind than the field's;
 * malformed_body where bytes are missing or left over.
 */
export function placeInputs(
  inputs: InferenceRequestBody['inputs'],
  places: DataPlaces,
  binary: Uint8Array | undefined,
  fields: TensorFields,
  inSequence = false,
): readonly PlacedInput[] {
  const names = inputNames(fields);
  const taken = new Map<string, number>();
  let offset = 0;
  const placed = inputs.map((input, ordinal): PlacedInput => {
    const pointer = `/inputs/${ordinal}`;
    const path = names.get(input.name);
    if (path === undefined) throw unknownInput(`${pointer}/name`, input.name, [...names.keys()], inSequence);
    const before = taken.get(path);
    if (before !== undefined) {
      const detail = `Expected each input once; got "${input.name}" again, after /inputs/${before}`;
      throw invalid(`${pointer}/name`, detail);
    }
    taken.set(path, ordinal);
    const datatype = readDatatype(input.datatype, fields[path], `${pointer}/datatype`);
    const fault = faultOfShape(input.shape);
    if (fault !== undefined) throw invalid(`${pointer}/shape`, fault);
    const described = { path, pointer, datatype, shape: input.shape };
    const size = input.parameters?.binary_data_size;
    const start = places[ordinal];
    if (start !== undefined && size !== undefined) {
      const detail = 'Expected either data or the parameter binary_data_size; got both';
      throw invalid(`${pointer}/data`, detail);
    }
    if (start !== undefined) return { ...described, source: { start: checkedStart(described, start) } };
    if (size === undefined) {
      const detail =
        'Missing; expected the elements, or the parameter binary_data_size and bytes behind the JSON';
      throw invalid(`${pointer}/data`, detail);
    }
    const bytes = takeBytes(described, size, binary, offset);
    offset += size;
    return { ...described, source: { bytes } };
  });
  const rest = (binary?.length ?? 0) - offset;
  if (rest > 0) {
    const detail = `The inputs take ${offset} bytes behind the JSON; expected no more, got ${rest} more bytes.`;
    throw problemAt('malformed_body', '', detail);
  }
  return placed;
}

function checkedStart({ datatype, pointer }: Omit<PlacedInput, 'source'>, start: number): number {
  if (datatype.inJson) return start;
  throw invalid(
    `${pointer}/data`,
    `Expected ${datatype.name} as bytes behind the JSON, with the parameter binary_data_size; got numbers. ` +
      'As JSON the protocol knows FP32 and FP64',
  );
}

function takeBytes(
  { datatype, shape, pointer }: Omit<PlacedInput, 'source'>,
  size: number,
  binary: Uint8Array | undefined,
  offset: number,
): Uint8Array {
  const at = `${pointer}/parameters/binary_data_size`;
  const expected = (elementCount(shape) ?? 0) * datatype.bytes;
  if (size !== expected) {
    const what = `${expected} bytes for ${datatype.name} ${formatShape(shape)}`;
    throw invalid(at, `Expected ${what}; got ${size}`);
  }
  if (binary === undefined) {
    const detail =
      'Expected the header Inference-Header-Content-Length, the length of the JSON that bytes follow; got none';
    throw problemAt('malformed_body', at, detail);
  }
  const left = binary.length - offset;
  if (size > left) {
    throw problemAt('malformed_body', at, `Expected ${size} bytes behind the JSON; only ${left} are left`);
  }
  return binary.subarray(offset, offset + size);
}

function readDatatype(name: string, kind: ElementKind, pointer: string): Datatype {
  const datatype = datatypeNamed(name);
  if (datatype === undefined) {
    const strings = name === 'BYTES' ? ': strings are no input of any model' : '';
    const expected = `Expected a datatype among ${DATATYPE_NAMES.join(', ')}`;
    throw invalid(pointer, `${expected}; got ${quoted(name)}${strings}`);
  }
  if ((kind === 'bool') === (datatype.dtype === 'bool')) return datatype;
  const detail =
    kind === 'bool'
      ? `Expected BOOL; got ${name}. Numbers here could be meant as an additive bias, which is the input bias`
      : 'Expected numbers; got BOOL. Masks are the inputs allow_mask, forbid_mask and key_valid';
  throw invalid(pointer, detail, 'invalid_tensor');
}

function unknownInput(pointer: string, name: string, known: readonly string[], inSequence: boolean): Problem {
  // The metadata lists what a call by itself takes.
  const expected = inSequence
    ? `Expected ${known.join(', ')} only, as a request of a sequence takes it`
    : 'Expected an input of the model, which its metadata lists';
  const near = suggest(name, known);
  const hint = near.length === 0 ? '' : `; did you mean ${listWords(near.map((one) => `"${one}"`))}?`;
  return invalid(pointer, `${expected}; got ${quoted(name)}${hint}`);
}

function invalid(pointer: string, detail: string, code: ProblemCode = 'invalid_request'): Problem {
  return problemAt(code, pointer, detail);
}

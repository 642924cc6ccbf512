/**
 * What the Python tritonclient does, step by step: `InferInput.set_data_from_numpy`, `_get_inference_request` and
 * `InferResult` of tritonclient/http (_infer_input.py, _utils.py, _infer_result.py), with numpy's element types. Its JSON
 * is python-rapidjson's: no spaces, members in the order in which they were set, floats with a point.
 */

type NumpyArray =
  | Float32Array
  | Float64Array
  | Float16Array
  | Uint16Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint32Array
  | BigUint64Array;

export interface InferInput {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: string;
  readonly array: NumpyArray;
  /** `binary_data` of `set_data_from_numpy`. */
  readonly binary?: boolean;
}

export interface InferRequestedOutput {
  readonly name: string;
  readonly binary?: boolean;
}

export interface InferOptions {
  readonly requestId?: string;
  readonly outputs?: readonly InferRequestedOutput[];
  readonly priority?: number;
  readonly timeout?: number;
  readonly parameters?: Readonly<Record<string, unknown>>;
}

export interface RequestBody {
  readonly body: Buffer;
  /** The value of Inference-Header-Content-Length, null where the client sends none. */
  readonly jsonSize: number | null;
}

/** `_get_inference_request`. */
export function getInferenceRequest(inputs: readonly InferInput[], options: InferOptions = {}): RequestBody {
  const { requestId = '', outputs = [], priority = 0, timeout, parameters: custom = {} } = options;
  const request: Record<string, unknown> = {};
  const parameters: Record<string, unknown> = {};
  if (requestId !== '') request.id = requestId;
  if (priority !== 0) parameters.priority = priority;
  if (timeout !== undefined) parameters.timeout = timeout;
  request.inputs = inputs.map(tensorOf);
  if (outputs.length > 0) {
    request.outputs = outputs.map(({ name, binary = true }) => ({
      name,
      parameters: { binary_data: binary },
    }));
  } else {
    parameters.binary_data_output = true;
  }
  Object.assign(parameters, custom);
  if (Object.keys(parameters).length > 0) request.parameters = parameters;
  const json = Buffer.from(rapidjson(request));
  const raw = inputs.filter(({ binary = true }) => binary).map(({ array }) => bytesOf(array));
  return { body: Buffer.concat([json, ...raw]), jsonSize: raw.length === 0 ? null : json.length };
}

function tensorOf({ name, shape, datatype, array, binary = true }: InferInput): object {
  const tensor = { name, shape, datatype };
  if (binary) return { ...tensor, parameters: { binary_data_size: array.byteLength } };
  return { ...tensor, data: Array.from(array, (value: number | bigint) => item(datatype, value)) };
}

class PythonFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** `val.item()`: bool, float or int. */
function item(datatype: string, value: number | bigint): unknown {
  if (datatype === 'BOOL') return value !== 0;
  return datatype.startsWith('FP') ? new PythonFloat(Number(value)) : value;
}

function rapidjson(value: unknown): string {
  if (value instanceof PythonFloat) {
    if (!Number.isFinite(value.value)) return Number.isNaN(value.value) ? 'NaN' : String(value.value);
    return Number.isInteger(value.value) ? value.value.toFixed(1) : String(value.value);
  }
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `[${value.map(rapidjson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([name, member]) => `${JSON.stringify(name)}:${rapidjson(member)}`)
      .join(',')}}`;
  }
  return JSON.stringify(value);
}

function bytesOf({ buffer, byteOffset, byteLength }: NumpyArray): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

interface ResponseOutput {
  readonly name: string;
  readonly datatype: keyof typeof NUMPY;
  readonly shape: readonly number[];
  readonly parameters?: { readonly binary_data_size?: number };
  readonly data?: readonly (number | null)[];
}

export interface InferResponse {
  readonly model_name: string;
  readonly model_version?: string;
  readonly id?: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly outputs: readonly ResponseOutput[];
}

/** `triton_to_np_dtype`. */
const NUMPY = { FP32: Float32Array, FP64: Float64Array, INT32: Int32Array } as const;

/** `InferResult`: the JSON by the header's length, then each binary output by the sizes that add up to its place. */
export class InferResult {
  readonly response: InferResponse;
  readonly #places = new Map<string, number>();
  readonly #buffer: Buffer;

  /** `headerLength`: Inference-Header-Content-Length of the response; undefined where it has none. */
  constructor(content: Uint8Array, headerLength: string | undefined) {
    const body = Buffer.from(content);
    const end = headerLength === undefined ? body.length : Number.parseInt(headerLength, 10);
    this.response = JSON.parse(body.toString('utf8', 0, end));
    this.#buffer = body.subarray(end);
    let place = 0;
    for (const { name, parameters } of this.response.outputs) {
      const size = parameters?.binary_data_size;
      if (size === undefined) continue;
      this.#places.set(name, place);
      place += size;
    }
    if (place !== this.#buffer.length) throw new Error(`${this.#buffer.length - place} bytes are left over`);
  }

  /** The bytes of a binary output, where `np.frombuffer` looks at them. */
  asBytes(name: string): { readonly shape: readonly number[]; readonly bits: Buffer } {
    const output = this.response.outputs.find((one) => one.name === name);
    const place = this.#places.get(name);
    if (output === undefined || place === undefined) throw new Error(`There is no binary output ${name}`);
    const size = output.parameters?.binary_data_size ?? 0;
    return { shape: output.shape, bits: this.#buffer.subarray(place, place + size) };
  }

  /** `as_numpy`: `np.frombuffer(...)` or `np.array(data)`, reshaped; null as None is NaN in numpy. */
  asNumpy(name: string): { readonly shape: readonly number[]; readonly values: number[] } {
    const output = this.response.outputs.find((one) => one.name === name);
    if (output === undefined) throw new Error(`There is no output ${name}`);
    const array = NUMPY[output.datatype];
    const size = output.parameters?.binary_data_size;
    const place = this.#places.get(name);
    const values =
      size === undefined || place === undefined
        ? new array((output.data ?? []).map((value) => value ?? Number.NaN))
        : new array(Uint8Array.from(this.#buffer.subarray(place, place + size)).buffer);
    const count = output.shape.reduce((product, one) => product * one, 1);
    if (values.length !== count) throw new Error(`cannot reshape ${values.length} into [${output.shape}]`);
    return { shape: output.shape, values: [...values] };
  }
}

import { nameInFile } from '../contract/mappings/attention.ts';
import { inNamesOfFile } from '../contract/mappings/in-file.ts';
import { mapTensors } from '../contract/mappings/map-tensors.ts';
import type { Mapping } from '../contract/mappings/mapping.ts';
import { mappingNamed } from '../contract/mappings/registry.ts';
import { DEFAULT_MAPPING, readLayer } from '../contract/read-upload.ts';
import { tensorFieldsOf } from '../contract/schemas/index.ts';
import type { LayerUpload } from '../contract/schemas/layer-upload.ts';
import { type LayerBody, type LayerDescription, LayerSchema } from '../contract/schemas/layers.ts';
import type { Limits } from '../domain/limits.ts';
import { pointerToken, problemAt } from '../domain/problem.ts';
import type { DType, Precision, RealArray, Tensor } from '../domain/tensor.ts';
import { converted } from './dtypes.ts';
import type { Decoded } from './format.ts';
import { graft } from './graft.ts';
import { json } from './json/format.ts';
import { callTensor } from './safetensors/call-tensor.ts';
import { METADATA } from './safetensors/header.ts';
import { inRequest, leadsInto } from './safetensors/in-request.ts';
import { readSafetensors, type StoredTensor } from './safetensors/read.ts';
import { STORED_AS } from './safetensors/stored-dtypes.ts';
import { safetensorsParts } from './safetensors/write.ts';
import { sharedFloat32 } from './shared-memory.ts';

/*
 * The one form in which a layer is kept: a safetensors file of its tensors by our own names, sorted, whose metadata holds
 * the options as JSON, sorted too. It is a function of the layer, so its hash names the layer's content; and it is an
 * upload of mapping `attention`, so that what was fetched here can be registered there.
 */

export const LAYER_FIELDS = tensorFieldsOf(LayerSchema);

/** Member of the metadata that holds the options. */
const REQUEST = 'request';

/** What of a layer is small: its options without tensors, and what its tensors are. */
export type LayerSummary = Pick<LayerDescription, 'options' | 'tensors'>;

/**
 * Reads a safetensors file as a layer, by the mapping and options that `upload` names. Tensors are views on the file where
 * that lies on shared memory and their type allows it.
 * @throws {Problem} malformed_body, mapping_mismatch, invalid_tensor, and those of readLayer.
 */
export function readLayerFile(bytes: Uint8Array, upload: LayerUpload, limits: Limits): LayerBody {
  const mapping = mappingNamed(upload.mapping ?? DEFAULT_MAPPING);
  const { metadata, tensors: stored } = readSafetensors(bytes);
  const { envelope, tensors: given } = readOptions(metadata.get(REQUEST), mapping, limits);
  const shapes = new Map(Array.from(stored, ([name, { shape }]) => [name, shape]));
  const isWide = (upload.precision ?? envelope.precision) === 'float64';
  const precision: Precision = isWide ? 'float64' : 'float32';
  const tensors: Record<string, Tensor> = { ...given };
  const mapped = mapTensors(mapping, upload.prefix ?? '', shapes);
  for (const { source, field, shape } of mapped.tensors) {
    const pointer = `/${pointerToken(source)}`;
    if (Object.hasOwn(tensors, field)) {
      const detail = `Expected one value for this field; got a tensor and, in ${METADATA}.${REQUEST}, another`;
      throw problemAt('invalid_request', pointer, detail);
    }
    const tensor: StoredTensor = { ...stored.get(source)!, shape };
    tensors[field] = callTensor(tensor, { kind: LAYER_FIELDS[field], precision, pointer });
  }
  try {
    return readLayer(graft(envelope, tensors), upload, limits);
  } catch (error) {
    // Read again, since the tensors have been put into the first reading.
    const options = readOptions(metadata.get(REQUEST), mapping, limits).envelope;
    // What the address says counts in place of what the file says.
    const isInAddress = (pointer: string) => Object.hasOwn(upload, pointer.slice(1).replaceAll('/', '.'));
    const isInRequest = (pointer: string) => !isInAddress(pointer) && leadsInto(options, pointer);
    throw inRequest(inNamesOfFile(error, mapped.names), isInRequest);
  }
}

function readOptions(request: string | undefined, { hasOwnOptions }: Mapping, limits: Limits): Decoded {
  if (request === undefined || !hasOwnOptions) return { envelope: {}, tensors: {} };
  try {
    return json.decode(Buffer.from(request), { fields: LAYER_FIELDS, limits });
  } catch (error) {
    throw inRequest(error);
  }
}

/** The file of a layer, in parts that follow each other: tensors are where the layer has them, and are not copied. */
export function writeLayerFile(layer: LayerBody): Uint8Array[] {
  const { options, tensors } = taken(layer);
  const stored = Array.from(tensors, ([name, tensor]) => [name, storedTensor(tensor)] as const);
  return safetensorsParts(new Map(stored), { [REQUEST]: JSON.stringify(options) });
}

export function summaryOf(layer: LayerBody): LayerSummary {
  const { options, tensors } = taken(layer);
  const described: Record<string, LayerSummary['tensors'][string]> = {};
  for (const [name, tensor] of tensors) {
    described[name] = { dtype: dtypeInFile(tensor), shape: [...tensor.shape] };
  }
  return { options, tensors: described };
}

/** The options, their names sorted, and the tensors by their names in the file, sorted. */
function taken(layer: LayerBody): {
  options: Record<string, unknown>;
  tensors: Map<string, Tensor<RealArray>>;
} {
  const tensors: [string, Tensor<RealArray>][] = [];
  const visit = (members: object, path: string): Record<string, unknown> => {
    const plain: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(members).sort(([a], [b]) => (a < b ? -1 : 1))) {
      const at = path === '' ? name : `${path}.${name}`;
      if (Object.hasOwn(LAYER_FIELDS, at)) tensors.push([nameInFile(at), value]);
      else if (typeof value === 'object' && value !== null) plain[name] = visit(value, at);
      else if (value !== undefined) plain[name] = value;
    }
    return plain;
  };
  const { projections, ...options } = visit(layer, '');
  const rest = Object.keys(projections as object).length === 0 ? {} : { projections };
  tensors.sort(([a], [b]) => (a < b ? -1 : 1));
  return { options: { ...options, ...rest }, tensors: new Map(tensors) };
}

/** Numbers are kept as they were sent, but as wide as the layer's precision at most; integers as numbers of that width. */
function dtypeInFile({ dtype, data }: Tensor<RealArray>): DType {
  if (dtype === 'float16' || dtype === 'bfloat16') return dtype;
  return data instanceof Float64Array && dtype !== 'float32' ? 'float64' : 'float32';
}

function storedTensor(tensor: Tensor<RealArray>): StoredTensor {
  const dtype = dtypeInFile(tensor);
  const elements = narrowed(tensor.data, dtype);
  const bytes = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
  return { dtype: STORED_AS[dtype], shape: tensor.shape, bytes };
}

/** The elements in the type in which they were sent, which holds each of them exactly. */
function narrowed(data: RealArray, dtype: DType): ArrayBufferView {
  if (dtype === 'float16') {
    const halves = new Float16Array(new SharedArrayBuffer(2 * data.length));
    halves.set(data);
    return halves;
  }
  if (dtype === 'bfloat16') {
    const halves = new Uint16Array(new SharedArrayBuffer(2 * data.length));
    const bits = new Uint32Array(Float32Array.from(data).buffer);
    for (let element = 0; element < halves.length; element++) halves[element] = bits[element] >>> 16;
    return halves;
  }
  return dtype === 'float32' && data instanceof Float64Array
    ? converted(data, sharedFloat32(data.length))
    : data;
}

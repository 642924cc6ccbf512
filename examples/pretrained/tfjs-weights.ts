/** A float32 tensor, row-major. */
export interface Weights {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** One entry of a weights manifest, in the order in which the bytes follow each other. */
interface ManifestEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly quantization?: unknown;
}

/** The `weightsManifest` of a TensorFlow.js `model.json`: a group's paths are concatenated to its bytes. */
export type WeightsManifest = readonly {
  readonly paths: readonly string[];
  readonly weights: readonly ManifestEntry[];
}[];

const BYTES_PER_ELEMENT: Readonly<Record<string, number>> = { float32: 4, int32: 4, bool: 1 };

/**
 * The float32 tensors of a TensorFlow.js model by name; entries of other types are stepped over. Throws an
 * Error where the bytes and the manifest do not fit together, or a tensor is quantised.
 *
 * @param shards content of each file that the manifest names, by its path
 */
export function readTfjsWeights(
  manifest: WeightsManifest,
  shards: ReadonlyMap<string, Uint8Array>,
): Map<string, Weights> {
  const tensors = new Map<string, Weights>();
  for (const group of manifest) {
    const bytes = concatenate(group.paths, shards);
    let offset = 0;
    for (const { name, shape, dtype, quantization } of group.weights) {
      const elementBytes = BYTES_PER_ELEMENT[dtype];
      if (elementBytes === undefined || quantization !== undefined) {
        throw new Error(`${name}: expected plain float32, int32 or bool; got ${dtype}, perhaps quantised`);
      }
      const count = shape.reduce((product, size) => product * size, 1);
      const end = offset + count * elementBytes;
      if (dtype === 'float32') tensors.set(name, { shape, data: littleEndianFloats(bytes, offset, end) });
      offset = end;
    }
    if (offset !== bytes.byteLength) {
      throw new Error(`the manifest describes ${offset} bytes; its files hold ${bytes.byteLength}`);
    }
  }
  return tensors;
}

function concatenate(paths: readonly string[], shards: ReadonlyMap<string, Uint8Array>): Uint8Array {
  return Buffer.concat(
    paths.map((path) => {
      const shard = shards.get(path);
      if (shard === undefined) throw new Error(`the manifest names ${path}, which is not there`);
      return shard;
    }),
  );
}

/** A copy, so that the numbers are aligned and do not keep the whole file in memory. */
function littleEndianFloats(bytes: Uint8Array, start: number, end: number): Float32Array {
  if (end > bytes.byteLength) {
    throw new Error(`the manifest reaches byte ${end}; its files hold ${bytes.byteLength}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start);
  return Float32Array.from({ length: (end - start) / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

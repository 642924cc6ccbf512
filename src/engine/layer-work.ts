import { createHash } from 'node:crypto';
import { readLayer } from '../contract/read-upload.ts';
import type { LayerUpload } from '../contract/schemas/layer-upload.ts';
import type { LayerBody } from '../contract/schemas/layers.ts';
import type { Limits } from '../domain/limits.ts';
import { graft } from '../wire/graft.ts';
import {
  LAYER_FIELDS,
  type LayerSummary,
  readLayerFile,
  summaryOf,
  writeLayerFile,
} from '../wire/layer-file.ts';
import { decoderNamed } from '../wire/registry.ts';

/** A body that is a layer. Plain data, so that it can be handed to a worker. */
export interface LayerRequest {
  readonly format: string;
  /** On shared memory where the body is not small. */
  readonly bytes: Uint8Array;
  /** How a file is to be read; null where the body is one of the operation itself, which says everything. */
  readonly upload: LayerUpload | null;
}

/** A layer as it is kept, and the hash that names its content. */
export interface LayerFile {
  /** They follow each other. All but the first lie on shared memory, among them views on the body. */
  readonly parts: readonly Uint8Array[];
  /** Bytes of all of them. */
  readonly size: number;
  /** SHA-256 of the bytes, in hexadecimal digits. */
  readonly etag: string;
  readonly summary: LayerSummary;
}

/** From the bytes of a body to the file that is kept. Throws the Problems of reading a layer. */
export function makeLayerFile({ format, bytes, upload }: LayerRequest, limits: Limits): LayerFile {
  const layer = upload === null ? readBody(format, bytes, limits) : readLayerFile(bytes, upload, limits);
  const parts = writeLayerFile(layer);
  const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
  return { parts, size, etag: sha256(parts), summary: summaryOf(layer) };
}

function readBody(format: string, bytes: Uint8Array, limits: Limits): LayerBody {
  const { envelope, tensors } = decoderNamed(format)(bytes, { fields: LAYER_FIELDS, limits });
  return readLayer(graft(envelope, tensors), null, limits);
}

/** The layer of a file on shared memory, its tensors views on it where they can be; null where it is not that file. */
export function openLayerFile(bytes: Uint8Array, etag: string, limits: Limits): LayerBody | null {
  return sha256([bytes]) === etag ? readLayerFile(bytes, {}, limits) : null;
}

function sha256(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

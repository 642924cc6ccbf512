import { createRequire } from 'node:module';

/*
 * The part of onnxruntime-node that is used here, typed here, so that the types of this folder can be checked where
 * the package is not installed. Its session.run() puts every run behind a setImmediate and a promise, which costs as
 * much as a tiny layer; the binding underneath runs at once, and that is what we compare with. What a program that uses
 * the package has is session.run(): it is measured besides, where a call is short.
 */

export interface OrtTensor {
  readonly data: Float32Array | Int32Array | BigInt64Array;
  readonly dims: readonly number[];
}

export interface OrtSession {
  loadModel(buffer: ArrayBufferLike, byteOffset: number, byteLength: number, options: SessionOptions): void;
  /** Writes into the tensors of `fetches`. */
  run(feeds: Record<string, OrtTensor>, fetches: Record<string, OrtTensor>, options: object): void;
  dispose(): void;
}

/** A session of the package itself. */
export interface PackageSession {
  run(
    feeds: Record<string, OrtTensor>,
    fetches: Record<string, OrtTensor>,
  ): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

export interface SessionOptions {
  readonly executionProviders: readonly string[];
  readonly intraOpNumThreads: number;
  readonly interOpNumThreads: number;
  readonly graphOptimizationLevel: 'all';
  /** 3: errors only. */
  readonly logSeverityLevel: number;
}

interface Binding {
  readonly binding: { readonly InferenceSession: new () => OrtSession };
  initOrt(): void;
}

interface Package {
  readonly Tensor: new (type: string, data: OrtTensor['data'], dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(model: Uint8Array, options: SessionOptions): Promise<PackageSession> };
}

const require = createRequire(import.meta.url);

export function loadOnnxRuntime() {
  const { Tensor, InferenceSession } = require('onnxruntime-node') as Package;
  const { binding, initOrt } = require('onnxruntime-node/dist/binding.js') as Binding;
  initOrt();
  return { Tensor, InferenceSession, BoundSession: binding.InferenceSession };
}

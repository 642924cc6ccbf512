import { startEcho } from './echo.ts';
import type { Exchange, Format } from './exchange.ts';
import { startFastApi } from './fastapi.ts';
import { startOnnxRuntime } from './onnxruntime.ts';
import { startOurs } from './ours.ts';
import type { ServiceProcess } from './service-process.ts';
import type { Workload } from './workload.ts';

export const SERVICE_NAMES = ['ours', 'ort', 'fastapi', 'echo'] as const;
export type ServiceName = (typeof SERVICE_NAMES)[number];

/** What people call them. */
export const TITLES: Readonly<Record<ServiceName, string>> = {
  ours: 'ours',
  ort: 'Fastify + ONNX Runtime',
  fastapi: 'FastAPI + PyTorch',
  echo: 'bare Fastify echo',
};

/** A service that is running and has the layers of all workloads. */
export interface Service {
  readonly name: ServiceName;
  readonly process: ServiceProcess;
  exchanges(workload: Workload, format: Format): readonly Exchange[];
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly workloads: readonly Workload[];
  /** Where to look for FastAPI and PyTorch. */
  readonly pythons: readonly string[];
}

/** null where what the service is made of was not found. */
type Start = (options: StartOptions) => Promise<Service | null>;

const STARTS: Readonly<Record<ServiceName, Start>> = {
  ours: startOurs,
  ort: startOnnxRuntime,
  fastapi: startFastApi,
  echo: startEcho,
};

export function startService(name: ServiceName, options: StartOptions): Promise<Service | null> {
  return STARTS[name](options);
}

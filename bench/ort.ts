import { type Contender, type Opened, timed } from './contender.ts';
import { swapHeads } from './heads.ts';
import type { OrtGraph, OrtOutput } from './onnx/graph.ts';
import { graphsOf } from './onnx/graphs.ts';
import type { OnnxTensor } from './onnx/model.ts';
import { loadOnnxRuntime, type OrtTensor, type SessionOptions } from './onnxruntime.ts';
import { flops, type Shape } from './shapes.ts';
import type { Inputs } from './workload.ts';

const { Tensor, InferenceSession, BoundSession } = loadOnnxRuntime();

/** Calls of so many operations take long beside what session.run() of the package adds. */
const LONG_FLOPS = 1e7;

/** ONNX Runtime with every graph that it takes for the shape; what it refuses is told. */
export async function openOnnxRuntime(shape: Shape, inputs: Inputs, threads: number): Promise<Opened[]> {
  const opened: Opened[] = [];
  for (const graph of graphsOf(shape, inputs)) {
    try {
      opened.push(openGraph(shape, graph, threads));
      if (flops(shape) < LONG_FLOPS && !graph.takesWeights)
        opened.push(await openByPackage(shape, graph, threads));
    } catch (error) {
      console.log(`  ONNX Runtime does not take the graph ${graph.name}: ${(error as Error).message}`);
    }
  }
  return opened;
}

const optionsFor = (threads: number): SessionOptions => ({
  executionProviders: ['cpu'],
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
});

function openGraph(shape: Shape, graph: OrtGraph, threads: number): Opened {
  const { name, model, takesWeights } = graph;
  const session = new BoundSession();
  session.loadModel(model.buffer, model.byteOffset, model.byteLength, optionsFor(threads));
  const { feeds, fetches, results } = memoryOf(shape, graph);
  const run = () => session.run(feeds, fetches, {});
  run();
  const contender: Contender = {
    name,
    family: takesWeights ? 'onnxruntime, weights given' : 'onnxruntime',
    sample: (repeats) => timed(repeats, run),
    close: () => session.dispose(),
  };
  return {
    contender,
    results() {
      run();
      return results();
    },
  };
}

/** The same by session.run(), as a program that uses the package has it. */
async function openByPackage(shape: Shape, graph: OrtGraph, threads: number): Promise<Opened> {
  const session = await InferenceSession.create(graph.model, optionsFor(threads));
  const { feeds, fetches, results } = memoryOf(shape, graph);
  const run = () => session.run(feeds, fetches);
  await run();
  const contender: Contender = {
    name: graph.name,
    family: 'session.run()',
    async sample(repeats) {
      const start = performance.now();
      for (let count = 0; count < repeats; count++) await run();
      return (performance.now() - start) / repeats;
    },
    close: () => session.release(),
  };
  return {
    contender,
    async results() {
      await run();
      return results();
    },
  };
}

/** What a graph reads and writes, and its results by name. */
function memoryOf(shape: Shape, { feeds: given, outputs }: OrtGraph) {
  const feeds = Object.fromEntries(Object.entries(given).map(([key, tensor]) => [key, ortTensor(tensor)]));
  const written = outputs.map((output) => ({ output, tensor: outputTensor(output, feeds) }));
  const fetches = Object.fromEntries(written.map(({ output, tensor }) => [output.value, tensor]));
  const results = () =>
    Object.fromEntries(
      written.map(({ output, tensor }) => [output.name, inOrder(shape, output, tensor.data as Float32Array)]),
    );
  return { feeds, fetches, results };
}

/** Memory for a result: that of the input of the same name and size, for a cache that grows in place. */
function outputTensor({ name, shape }: OrtOutput, given: Readonly<Record<string, OrtTensor>>): OrtTensor {
  const length = shape.reduce((product, size) => product * size, 1);
  if (given[name]?.data.length === length) return given[name];
  return new Tensor('float32', new Float32Array(length), shape);
}

function inOrder(shape: Shape, { tokensFirst }: OrtOutput, data: Float32Array): Float32Array {
  if (!tokensFirst) return data;
  return swapHeads(data, [shape.batch, shape.queries, shape.heads, shape.headSize]);
}

function ortTensor({ shape, data }: OnnxTensor): OrtTensor {
  const type = data instanceof Float32Array ? 'float32' : data instanceof Int32Array ? 'int32' : 'int64';
  // Tensors over shared memory are not promised by ONNX Runtime: it gets a copy of its own.
  return new Tensor(type, data.slice(), shape);
}

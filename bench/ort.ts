import { type Opened, timed } from './contender.ts';
import { swapHeads } from './heads.ts';
import type { OrtGraph, OrtOutput } from './onnx/graph.ts';
import { graphsOf } from './onnx/graphs.ts';
import type { OnnxTensor } from './onnx/model.ts';
import { loadOnnxRuntime, type OrtTensor } from './onnxruntime.ts';
import type { Shape } from './shapes.ts';
import type { Inputs } from './workload.ts';

const { Tensor, InferenceSession } = loadOnnxRuntime();

/** ONNX Runtime with every graph that it takes for the shape; what it refuses is told. */
export function openOnnxRuntime(shape: Shape, inputs: Inputs, threads: number): Opened[] {
  return graphsOf(shape, inputs).flatMap((graph) => {
    try {
      return [openGraph(shape, graph, threads)];
    } catch (error) {
      console.log(`  ONNX Runtime does not take the graph ${graph.name}: ${(error as Error).message}`);
      return [];
    }
  });
}

function openGraph(shape: Shape, { name, model, feeds, outputs }: OrtGraph, threads: number): Opened {
  const session = new InferenceSession();
  session.loadModel(model.buffer, model.byteOffset, model.byteLength, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
  });
  const given = Object.fromEntries(Object.entries(feeds).map(([key, tensor]) => [key, ortTensor(tensor)]));
  const results = outputs.map((output) => ({ output, tensor: outputTensor(output, given) }));
  const fetches = Object.fromEntries(results.map(({ output, tensor }) => [output.value, tensor]));
  const run = () => session.run(given, fetches, {});
  run();
  return {
    contender: {
      name,
      family: 'onnxruntime',
      sample: (repeats) => timed(repeats, run),
      close: () => session.dispose(),
    },
    results: () => {
      run();
      return Object.fromEntries(
        results.map(({ output, tensor }) => [
          output.name,
          inOrder(shape, output, tensor.data as Float32Array),
        ]),
      );
    },
  };
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

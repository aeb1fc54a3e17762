/**
 * @file npm run bench:kernels: which kernels the installed runtime has on a device, asked with models of one node. Writes
 * the table src/targets/kernels/DEVICE.ts. A kernel is there where the runtime puts the node on the device and it gives the
 * CPU's numbers.
 */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { note, printJson } from '../cli/output.js';
import { elementCount, GraphBuilder, type TensorData, type TensorType, type Value } from '../src/ir/index.js';
import { decodeModel, encodeGraph, type KernelName, kernelOf, opset } from '../src/onnx/index.js';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { cpu, type Device, parseDevice } from '../src/runtime/session/devices.js';
import { openSession } from '../src/runtime/session/open-session.js';
import { runtimeVersion } from '../src/runtime/session/runtime-package.js';
import { kernelSamples, type Sample } from './kernel-samples.js';

interface Flags {
  readonly device: string;
  readonly placementOnly?: boolean;
  readonly json?: boolean;
  readonly only?: number;
}

/** A model of one node, with what makes its outputs floats of known shapes behind it. */
interface Probe {
  readonly kernel: KernelName;
  readonly model: Uint8Array;
  /** The node's name in the model. */
  readonly node: string;
  readonly feeds: readonly (readonly [string, TensorData])[];
  readonly results: readonly string[];
}

const program = new Command('bench:kernels')
  .description('Ask the runtime for its kernels on a device, and write them into src/targets/kernels.')
  .option('--device <name>', 'cpu, webgpu or cuda', 'cpu')
  .option('--placement-only', 'believe where the runtime puts a node, without running it')
  .option('--json', 'print the table and why kernels are missing as JSON, and write no file')
  .addOption(new Option('--only <n>', 'ask for one kernel, in this process').argParser(Number).hideHelp())
  .action(async ({ device: name, placementOnly = false, json, only }: Flags) => {
    const device = parseDevice(name);
    const probes = kernelSamples.flatMap(probesOf);
    if (only !== undefined) {
      printJson({ reason: await whyMissing(probes[only] as Probe, device, !placementOnly) });
      return;
    }
    const kernels: Record<string, string[]> = {};
    const missing: Record<string, string> = {};
    for (const [index, { kernel }] of probes.entries()) {
      const { operator, types } = kernel;
      const reason = askInChild(index, name, placementOnly);
      if (reason !== undefined) missing[`${operator} ${types}`] = reason;
      // Of several nodes that ask for one kernel, all must run.
      kernels[operator] ??= [];
      if (!kernels[operator].includes(types)) kernels[operator].push(types);
    }
    const found = Object.entries(kernels).map(
      ([operator, types]) => [operator, types.filter((each) => missing[`${operator} ${each}`] === undefined)] as const,
    );
    const table = Object.fromEntries(found.filter(([, types]) => types.length > 0).sort());
    if (json) {
      printJson({ device: name, kernels: table, missing });
      return;
    }
    const file = `src/targets/kernels/${device.target}.ts`;
    await writeFileAtomic(
      fileURLToPath(new URL(`../../${file}`, import.meta.url)),
      asSource(device.target, table, placementOnly),
    );
    note(`wrote ${file}: ${Object.keys(table).length} operators; ${Object.keys(missing).length} kernels are missing`);
  });

/** A sample's model; of max pooling also one that wants the indices. */
function probesOf(sample: Sample): Probe[] {
  const counts = sample.operator === 'maxPool2d' ? [1, 2] : [undefined];
  return counts.map((count) => probeOf(sample, count));
}

function probeOf({ operator, inputs, attributes, values = {} }: Sample, wanted: number | undefined): Probe {
  const builder = new GraphBuilder('probe');
  const operands = inputs.map((type, index) => builder.input(type, { name: `x${index}`, role: 'batch' }));
  const outputs = builder.emitAll(operator, operands, attributes).slice(0, wanted);
  const results = outputs.map((value, index) => ({
    name: `y${index}`,
    role: 'result' as const,
    value: readable(builder, value),
  }));
  const graph = builder.finish(results);
  const [node] = graph.nodes;
  const kernel = node && kernelOf(node, (value) => outputs.includes(value));
  if (!kernel) throw new Error(`${operator} is not written to ONNX`);
  const model = encodeGraph(graph);
  return {
    kernel,
    model,
    node: decodeModel(model, 'the probe').graph?.node?.[0]?.name ?? '',
    feeds: inputs.map((type, index) => [`x${index}`, valuesOf(type, values[index])] as const),
    results: results.map(({ name }) => name),
  };
}

/** A value as sessions give it out: floats or whole numbers, of a shape that is known. */
function readable(builder: GraphBuilder, value: Value): Value {
  const { dtype, shape } = value.type;
  const isKnown = shape.every((dim) => typeof dim === 'number');
  if (isKnown && (dtype === 'float32' || dtype === 'int64')) return value;
  const floats = dtype === 'float32' ? value : builder.emit('cast', [value], { to: 'float32' });
  const axes = shape.map((_, axis) => axis);
  return isKnown ? floats : builder.emit('reduceSum', [floats], { axes, keepDims: false });
}

function valuesOf({ dtype, shape }: TensorType, given: readonly number[] | undefined): TensorData {
  const extents = shape as readonly number[];
  const count = elementCount(extents);
  const values = given ?? Array.from({ length: count }, (_, index) => 1 + ((index * 37) % 101));
  switch (dtype) {
    case 'float32':
      return { dtype, shape: extents, data: Float32Array.from(values, (value) => (given ? value : value / 40)) };
    case 'int64':
      return { dtype, shape: extents, data: BigInt64Array.from(values, BigInt) };
    case 'uint32':
      return { dtype, shape: extents, data: Uint32Array.from(values) };
    case 'bool':
      return { dtype, shape: extents, data: Uint8Array.from(values, (value) => value % 2) };
  }
}

/** The same in a process of its own, which a kernel may bring down. */
function askInChild(index: number, device: string, placementOnly: boolean): string | undefined {
  const options = ['--device', device, ...(placementOnly ? ['--placement-only'] : []), '--only', String(index)];
  const { stdout, signal } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...options], {
    encoding: 'utf8',
  });
  if (signal) return `the process was ended by ${signal}`;
  return (JSON.parse(stdout) as { reason?: string }).reason;
}

/** Why a device doesn't run a node; undefined where it does. */
async function whyMissing(probe: Probe, device: Device, runs: boolean): Promise<string | undefined> {
  try {
    const found = await run(probe, device, runs);
    if (found.isOnHost) return 'the runtime puts the node on the host';
    if (device.target === 'cpu' || !runs) return undefined;
    const expected = await run(probe, cpu, true);
    const departure = Math.max(
      ...expected.values.map((value, index) => Math.abs(value - (found.values[index] ?? Number.NaN))),
    );
    const most = Math.max(1, ...expected.values.map(Math.abs));
    return departure <= 1e-5 * most ? undefined : `the numbers depart from the CPU's by ${departure}`;
  } catch (error) {
    return (error as Error).message.split('\n')[0] ?? '';
  }
}

async function run(
  { model, node, feeds, results }: Probe,
  device: Device,
  runs: boolean,
): Promise<{ readonly isOnHost: boolean; readonly values: readonly number[] }> {
  const session = await openSession({
    ...{ model, device, threads: 1, optimization: 'disabled', memoryPattern: false },
    allowHostNodes: true,
    cudaGraph: false,
  });
  try {
    if (!session.onHost) throw new Error("Node's binding can't say where nodes run; use the C API");
    const outputs = runs ? await session.run({ feeds, results, updates: [] }) : [];
    return {
      isOnHost: session.onHost.some(({ name }) => name === node),
      values: outputs.flatMap(([, { data }]) => Array.from(data as ArrayLike<number | bigint>, Number)),
    };
  } finally {
    await session.close();
  }
}

function asSource(target: string, table: Readonly<Record<string, readonly string[]>>, placementOnly: boolean): string {
  const how = placementOnly
    ? 'Nodes were placed by the runtime, and not run'
    : "Each was run, and gave the CPU's numbers";
  const options = `--device ${target}${placementOnly ? ' --placement-only' : ''}`;
  const rows = Object.entries(table).map(([operator, types]) => {
    const key = /^\w+$/.test(operator) ? operator : `'${operator}'`;
    return `    ${key}: [${types.map((each) => `'${each}'`).join(', ')}],`;
  });
  return `/** @file Kernels on ${target}, written by npm run bench:kernels -- ${options}. ${how}. */

import type { KernelTable } from './table.js';

export const ${target}Kernels: KernelTable = {
  runtime: '${runtimeVersion()}',
  opset: ${opset},
  kernels: {
${rows.join('\n')}
  },
};
`;
}

await program.parseAsync();

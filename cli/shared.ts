/** @file Options that several commands have, and what they mean. */

import { type Command, Option } from 'commander';
import { denseNetChoices, denseNetDefaults } from '../src/builders/densenet-config.js';
import type { LossChoice } from '../src/builders/index.js';
import { architectures, type DenseNetConfig, type DenseNetOptions, denseNetConfig } from '../src/builders/index.js';
import { defaultLossName, type LossName, losses, lossFlags, lossNames } from '../src/builders/losses/index.js';
import type { CompileOptions } from '../src/compile.js';
import { RequestError } from '../src/ir/index.js';
import {
  defaultOptimizerName,
  defaultsOf,
  type OptimizerChoice,
  type OptimizerName,
  optimizerFlags,
  optimizerNames,
  optimizers,
} from '../src/passes/optimizers/index.js';
import { type RematName, solvers } from '../src/passes/solvers/index.js';
import { type DeviceOptions, deviceOptionsOf, parseDevice } from '../src/runtime/session/devices.js';
import type { SessionOptions } from '../src/runtime/session/session.js';
import type { KernelsName, TargetName } from '../src/targets/index.js';
import { addCostsOption } from './costs.js';
import { addChoice, addChoices, attributeOf, chosen } from './flags.js';
import { byteSize, names, seed, wholeNumber } from './parse.js';

/** Where and with how many threads a graph runs. */
export interface RunFlags extends DeviceOptions {
  readonly threads?: number;
  readonly device: string;
}

/** Adds --threads and --device. */
export function addRunOptions(command: Command): Command {
  return command
    .optionsGroup('Running:')
    .addOption(new Option('--threads <n>', 'threads of one operator (default: all cores)').argParser(wholeNumber(1)))
    .option('--device <name>', 'cpu, webgpu, cuda or cuda:INDEX', 'cpu')
    .addOption(
      new Option('--tf32', "let CUDA round what it multiplies to TF32, as PyTorch's convolutions do (default)"),
    )
    .addOption(new Option('--no-tf32', 'keep all products on CUDA in float32'))
    .addOption(new Option('--no-cuda-graph', 'launch the nodes of a step on CUDA one by one instead of as one graph'))
    .option(
      '--allow-host-nodes',
      'let nodes without a kernel on the device run on the host, with copies there and back (refused otherwise)',
    );
}

/** Session options from flags. @throws RequestError when there is no such device */
export function sessionOptions({ threads, device, ...options }: RunFlags): SessionOptions {
  return {
    device: parseDevice(device),
    ...(threads !== undefined && { threads }),
    ...deviceOptionsOf(options),
  };
}

/** What describes a network and its optimizer; what a choice of the network or the optimizer says is read by `chosen`. */
export interface BuildFlags extends Partial<Omit<DenseNetConfig, 'imageSize'>> {
  readonly arch?: string;
  readonly depth?: number;
  /** Height and width in pixels. */
  readonly imageSize?: readonly [number, number];
  readonly efficient?: boolean;
  readonly remat?: RematName;
  /** Bytes that a step may have alive at once; or what is free, for the whole process. */
  readonly memoryBudget?: number | 'free';
  readonly budgetSeconds?: number;
  readonly costs?: string;
  readonly target: TargetName;
  readonly kernels: KernelsName;
  readonly optimizer: OptimizerName;
  readonly loss?: LossName;
  readonly freeze?: string[];
}

/** Names of the flags that describe a network's forward pass, as commander has them. */
export const networkFlagNames: readonly string[] = [
  'arch',
  'depth',
  ...Object.values(denseNetChoices).map(attributeOf),
];

/** Those of the flags that say what to recompute. */
export const rematFlagNames: readonly string[] = ['efficient', 'remat', 'memoryBudget', 'budgetSeconds'];

/** Those of the flags that describe an optimizer. */
export const optimizerFlagNames: readonly string[] = [
  'optimizer',
  ...optimizerFlags().map(({ choice }) => attributeOf(choice)),
];

/** Those of the flags that describe a loss. */
export const lossFlagNames: readonly string[] = ['loss', ...lossFlags().map(({ choice }) => attributeOf(choice))];

/** Those of all flags that decide a bundle's models. */
export const buildFlagNames: readonly string[] = [
  ...networkFlagNames,
  ...rematFlagNames,
  ...['costs', 'target', 'kernels'],
  ...optimizerFlagNames,
  ...lossFlagNames,
  'freeze',
];

/** Defaults of flags that a data set may know better, in words. */
const buildDefaults = { classes: '10; with --arch 1000', imageSize: '32; with --arch 224' };

/** Adds the options that describe a network. */
export function addBuildOptions(command: Command, defaults = buildDefaults): Command {
  command
    .optionsGroup('Network:')
    .addOption(
      new Option(
        '--arch <name>',
        `one of ${Object.keys(architectures).join(', ')}: blocks and growth rate of its own, ImageNet's stem, 1000 classes, 224×224 pixels; flags below override it`,
      ),
    )
    .addOption(
      new Option(
        '--depth <n>',
        'layers of a DenseNet-BC with three blocks, 6·L + 4 (default: 100, where there is neither --arch nor --block-config)',
      ).argParser(wholeNumber(1)),
    );
  const { classes: _, imageSize: __, smallInputs: ___, ...fixed } = denseNetDefaults;
  addChoices(command, denseNetChoices, {
    ...inWords(fixed),
    ...{ initFeatures: '2 × growth rate', smallInputs: 'yes; with --arch no' },
    ...defaults,
  });
  command
    .optionsGroup('Memory:')
    .addOption(new Option('--efficient', 'recompute concatenation, batch norm and ReLU: --remat efficient'))
    .addOption(
      new Option(
        '--remat <policy>',
        'what to recompute: efficient as above, max also 1×1 convolutions where the peak falls by it (default: none)',
      ).choices(Object.keys(solvers)),
    )
    .addOption(
      new Option(
        '--memory-budget <size>',
        'in place of a policy: the fastest step of --batch-size images that has at most so much alive at once, as in 400MB; or free, as fast as the whole process fits into what is free',
      ).argParser((text: string) => (text === 'free' ? text : byteSize(text))),
    )
    .addOption(
      new Option('--budget-seconds <n>', 'how long to look for that step (default: 20)').argParser(wholeNumber(1)),
    );
  addCostsOption(command)
    .addOption(
      new Option('--target <name>', 'where the models will run').choices(['cpu', 'webgpu', 'cuda']).default('cpu'),
    )
    .addOption(
      new Option(
        '--kernels <kind>',
        "operators of the training step: plain, ONNX's own, for any program; or cudnn, with densec's own for cuDNN and CUDA, which only densec runs (--target cuda)",
      )
        .choices(['plain', 'cudnn'])
        .default('plain'),
    );
  addLossOptions(command.optionsGroup('Loss:'));
  return addOptimizerOptions(command.optionsGroup('Optimizer:')).addOption(
    new Option(
      '--freeze <a,b>',
      "leave parameters as they are whose names begin so: 'features' trains the classifier alone (default: all are trained)",
    ).argParser(names),
  );
}

/** Adds --loss and a flag for each option that a loss has, which tells whose it is. */
function addLossOptions(command: Command): Command {
  const kinds = lossNames.map((kind) => `${kind}, ${losses[kind].words.help}`).join('; ');
  command.addOption(
    new Option(
      '--loss <name>',
      `what training makes small, as PyTorch defines it: ${kinds} (default: ${defaultLossName})`,
    ).choices(lossNames),
  );
  for (const { choice, of, fallback } of lossFlags()) {
    addChoice(command, choice, fallback === undefined ? `none; of ${of}` : `${of} ${fallback}`);
  }
  return command;
}

/** Adds --optimizer and a flag for each option that an optimizer has, each of which tells whose it is. */
function addOptimizerOptions(command: Command): Command {
  const kinds = optimizerNames.map((kind) => `${kind}, ${optimizers[kind].words.help}`).join('; ');
  command.addOption(
    new Option('--optimizer <name>', `how weights are updated, as PyTorch defines it: ${kinds}`)
      .choices(optimizerNames)
      .default(defaultOptimizerName),
  );
  for (const { key, choice, of } of optimizerFlags()) addChoice(command, choice, byOptimizer(of, key));
  return command;
}

/** What an option is unless told, by optimizer: `0.9`, or `sgd 0.9; rmsprop 0`. */
function byOptimizer(of: readonly OptimizerName[], key: string): string | undefined {
  const values = of.map((kind) => inWords(defaultsOf(kind))[key] ?? '');
  const [first] = values;
  if (of.length === optimizerNames.length && values.every((value) => value === first)) {
    return first === 'yes' || first === 'no' || first === '' ? undefined : first;
  }
  return groupedBy(of, values);
}

/** Names by what they have in common: `adamw and adam 0.001; rmsprop 0.01`. */
export function groupedBy(names: readonly string[], values: readonly string[]): string {
  const groups = [...new Set(values)].map((value) => {
    const alike = names.filter((_, index) => values[index] === value);
    return `${[alike.slice(0, -1).join(', '), ...alike.slice(-1)].filter(Boolean).join(' and ')} ${value}`;
  });
  return groups.join('; ');
}

/** Defaults as help shows them. */
export function inWords<T extends object>(defaults: T): { readonly [K in keyof T]: string } {
  const word = (value: unknown): string => (typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value));
  return Object.fromEntries(Object.entries(defaults).map(([key, value]) => [key, word(value)])) as {
    readonly [K in keyof T]: string;
  };
}

/** Adds --seed. */
export function addSeedOption(command: Command, what: string): Command {
  return command.addOption(new Option('--seed <n>', what).argParser(seed).default(0));
}

/**
 * The network that flags describe.
 * @param fallback what the data set says where no flag does
 * @throws RequestError when they describe none, or ask for what this version can't do
 */
export function networkConfig(flags: BuildFlags, fallback: DenseNetOptions = {}): DenseNetConfig {
  const { arch, depth } = flags;
  return denseNetConfig({
    ...fallback,
    ...(arch !== undefined && { arch }),
    ...(depth !== undefined && { depth }),
    ...chosen(denseNetChoices, flags),
    ...(flags.imageSize && { imageSize: flags.imageSize[0], imageWidth: flags.imageWidth ?? flags.imageSize[1] }),
  });
}

/**
 * The policy that the flags ask for; nothing where they give a budget.
 * @throws RequestError when they contradict each other
 */
export function rematOption({ efficient, remat, memoryBudget, budgetSeconds }: BuildFlags): RematName | undefined {
  if (memoryBudget !== undefined) {
    const policy = efficient ? '--efficient' : remat && `--remat ${remat}`;
    if (policy) throw new RequestError(`--memory-budget and ${policy} both say what is recomputed; drop one`);
    return undefined;
  }
  if (budgetSeconds !== undefined) throw new RequestError('--budget-seconds is for --memory-budget SIZE; give both');
  if (efficient && remat !== undefined && remat !== 'efficient') {
    throw new RequestError(`--efficient means --remat efficient, but --remat ${remat} is given too; drop one`);
  }
  return remat ?? (efficient ? 'efficient' : 'none');
}

/** The optimizer that flags describe; those of other optimizers are among them, for `compile` to refuse. */
export function optimizerOptions(flags: BuildFlags): OptimizerChoice {
  return withoutNone({ kind: flags.optimizer, ...optimizerFlagsSaid(flags) });
}

/** Another optimizer's options with those that flags say in their place. */
export function changedOptimizer(kept: OptimizerChoice, flags: BuildFlags): OptimizerChoice {
  return withoutNone({ ...kept, ...optimizerFlagsSaid(flags) });
}

/** Options by name; `none` where a flag says so. */
function optimizerFlagsSaid(flags: BuildFlags): object {
  return chosen(Object.fromEntries(optimizerFlags().map(({ key, choice }) => [key, choice])), flags);
}

function withoutNone(options: object): OptimizerChoice {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== 'none')) as OptimizerChoice;
}

/**
 * How to compile what the flags describe; a budget comes from `memoryOption`.
 * @param loss as `lossChoice` tells it
 */
export function compileOptions(flags: BuildFlags & { readonly seed: number }, loss: LossChoice): CompileOptions {
  const remat = rematOption(flags);
  return {
    target: flags.target,
    kernels: flags.kernels,
    ...(remat && { remat }),
    optimizer: optimizerOptions(flags),
    loss,
    ...(flags.freeze && { freeze: flags.freeze }),
    seed: flags.seed,
  };
}

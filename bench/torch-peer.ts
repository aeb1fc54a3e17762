/** @file The PyTorch peer: whether it can run here, and one measurement of it in a process of its own. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { DenseNetConfig } from '../src/builders/index.js';
import { FailureError } from '../src/ir/index.js';
import type { PeerRound } from './peer-report.js';
import type { PlainName } from './plain-networks.js';

const run = promisify(execFile);

const root = import.meta.url.endsWith('.ts') ? '../' : '../../';
const script = fileURLToPath(new URL(`${root}bench/peer/torch_densenet.py`, import.meta.url));

/** A network as PyTorch has it. */
export type TorchNetwork =
  | {
      readonly config: DenseNetConfig;
      /** Checkpoint concatenation, norm, ReLU and 1×1 convolution, as the memory-efficient implementation does. */
      readonly efficient: boolean;
    }
  | { readonly plain: PlainName; readonly imageSize: number };

/** What to measure. */
export type TorchRequest = TorchNetwork & {
  readonly batchSize: number;
  readonly steps: number;
  readonly threads: number;
  readonly seed: number;
  /** Compiled by torch.compile to keep this share of the activations, from 0 to 1; absent where it runs eagerly. */
  readonly activationBudget?: number | undefined;
};

/** The version of PyTorch that a Python has, or why there is none. */
export async function findTorch(python: string): Promise<{ version: string } | { missing: string }> {
  try {
    const { stdout } = await run(python, ['-c', 'import torch; print(torch.__version__)']);
    return { version: stdout.trim() };
  } catch (error) {
    const { code, stderr = '' } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === 'ENOENT') return { missing: `there is no ${python}; install Python 3, or name one with --python` };
    const reason = stderr.trim().split('\n').at(-1) ?? '';
    return { missing: `${python} can't load PyTorch (${reason}); pip install torch==2.13.0 numpy` };
  }
}

const replySchema = z.object({ stepSeconds: z.number(), growthBytes: z.number() });

/** Runs a peer's script and gives the last line that it prints. @throws FailureError with what Python said */
export async function runPeer(python: string, operands: readonly string[]): Promise<unknown> {
  try {
    const { stdout } = await run(python, operands);
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  } catch (error) {
    const { signal, stderr = '' } = error as Error & { signal?: string; stderr?: string };
    const remedy = signal === 'SIGKILL' ? '; if memory ran out, choose a smaller batch' : '';
    const said = stderr.trim().split('\n').at(-1) || (error as Error).message;
    throw new FailureError(`PyTorch failed (${signal ?? said})${remedy}`, { cause: error });
  }
}

/** One measurement. @throws FailureError with what Python said */
export async function measureTorch(python: string, request: TorchRequest): Promise<PeerRound> {
  const reply = await runPeer(python, [script, 'bench', ...torchArguments(request)]);
  const { stepSeconds, growthBytes } = replySchema.parse(reply);
  return { stepMs: 1000 * stepSeconds, peakGrowthBytes: growthBytes, sessionMs: null };
}

const curveSchema = z.object({ losses: z.object({ float64: z.array(z.number()) }) });

/**
 * The losses before each of some steps, in float64.
 * @param files the state that they begin with, and the batches of all steps, one behind the other
 * @throws FailureError with what Python said, as of parameters that the network doesn't have
 */
export async function torchLosses(
  python: string,
  request: TorchRequest & { readonly learningRate: number },
  files: { readonly state: string; readonly batches: string },
): Promise<readonly number[]> {
  const flags = [...torchArguments(request), ...flagsOf({ lr: request.learningRate, ...files })];
  return curveSchema.parse(await runPeer(python, [script, 'curve', ...flags])).losses.float64;
}

/** The flags of the peer that describe a measurement. */
export function torchArguments(request: TorchRequest): string[] {
  const { batchSize, steps, threads, seed, activationBudget, ...network } = request;
  const compiled = activationBudget === undefined ? {} : { 'activation-budget': activationBudget };
  const run = { batch: batchSize, steps, threads, seed, ...compiled };
  if ('plain' in network) return flagsOf({ network: network.plain, size: network.imageSize, ...run });
  const { config, efficient } = network;
  return [
    ...flagsOf({
      'block-config': config.blockConfig.join(),
      'growth-rate': config.growthRate,
      'init-features': config.initFeatures,
      compression: config.compression,
      'bn-size': config.bnSize,
      classes: config.classes,
      channels: config.channels,
      size: config.imageSize,
      ...run,
    }),
    ...(config.smallInputs ? [] : ['--no-small-inputs']),
    ...(efficient ? ['--efficient'] : []),
  ];
}

function flagsOf(values: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

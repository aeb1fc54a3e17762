/** @file The loss that flags describe: weights may be numbers, a file, or counted from the training images. */

import type { LossChoice } from '../src/builders/index.js';
import { defaultLossName, type LossName, lossFlags, resolveLoss, taskOf } from '../src/builders/losses/index.js';
import { FailureError, RequestError } from '../src/ir/index.js';
import { balancedPositives, balancedWeights } from '../src/runtime/data/balance.js';
import type { Dataset } from '../src/runtime/data/dataset.js';
import { readTextFile } from '../src/runtime/files/text-file.js';
import type { Task } from '../src/step/tasks.js';
import { chosen } from './flags.js';

/** What weights may be counted from. */
export interface LossData {
  readonly dataset: Dataset;
  /** Indices of the images that are trained on. @throws RequestError when there would be none */
  readonly trainedOn: () => ArrayLike<number>;
  /** Outputs of the network. */
  readonly outputs: number;
}

/** What the flags make a network tell, before any data is read. */
export function taskOfFlags({ loss }: { readonly loss?: LossName }): Task {
  return taskOf(resolveLoss(loss));
}

/**
 * The loss that flags describe; options of other losses are among them, for `compile` to refuse.
 * @param data where there is some
 * @throws RequestError for `balanced` without data; FailureError when a file of weights can't be read
 */
export async function lossChoice(
  flags: { readonly loss?: LossName },
  data?: LossData,
  kind: LossName = flags.loss ?? defaultLossName,
): Promise<LossChoice> {
  const choices = Object.fromEntries(lossFlags().map(({ key, choice }) => [key, choice]));
  const options: Record<string, unknown> = { ...chosen(choices, flags) };
  for (const [key, value] of Object.entries(options)) {
    const flag = choices[key]?.flag.split(' ')[0] ?? key;
    if (typeof value === 'string') {
      options[key] = value === 'balanced' ? balanced(key, flag, data) : await fromFile(value, flag, data);
    }
  }
  return { kind, ...options } as LossChoice;
}

function balanced(key: string, flag: string, data: LossData | undefined): number[] {
  if (!data) {
    throw new RequestError(
      `${flag} balanced counts training images, and there are none here; give numbers, or let densec train build the network`,
    );
  }
  const { dataset, outputs } = data;
  const count = key === 'classWeights' ? balancedWeights : balancedPositives;
  return count(dataset, data.trainedOn(), outputs);
}

/** Numbers of a file: one a line in the order of the classes, or each after the name of its class. */
async function fromFile(path: string, flag: string, data: LossData | undefined): Promise<number[]> {
  const text = await readTextFile(path).catch((error: unknown) => {
    if (!(error instanceof FailureError)) throw error;
    throw new FailureError(
      `${flag} ${path}: ${error.message}; give 'balanced', numbers as in 1,2.5,1, or a file of them`,
      {
        cause: error,
      },
    );
  });
  const lines = text.split(/\r\n?|\n/).flatMap((line, at) => (line.trim() === '' ? [] : [{ line, at: at + 1 }]));
  const named = lines.map(({ line, at }) => {
    const [, name, number = line] = /^(.*\S)\s*[,;:=\t]\s*([^,;:=\t]+)$/.exec(line.trim()) ?? [];
    const value = Number(number);
    if (number.trim() !== '' && Number.isFinite(value)) return { name, value };
    throw new FailureError(`${path}, line ${at}: '${line}' is no number; give one a line, or CLASS,NUMBER`);
  });
  if (named.every(({ name }) => name === undefined)) return named.map(({ value }) => value);
  const names = data?.dataset.classNames;
  if (!names) {
    throw new RequestError(
      `${path} has names, but ${data ? `${data.dataset.name} has none` : 'no data to tell their order'}; give a number a line, in the order of the classes`,
    );
  }
  const byName = new Map(named.map(({ name, value }) => [name?.replace(/^"(.*)"$/, '$1'), value]));
  const missing = names.find((name) => !byName.has(name));
  if (missing !== undefined) throw new FailureError(`${path} has no line for ${missing}; give one for each class`);
  const unknown = [...byName.keys()].find((name) => name === undefined || !names.includes(name));
  if (byName.size > names.length) throw new FailureError(`${path}: ${unknown} is no class of ${data?.dataset.name}`);
  return names.map((name) => byName.get(name) as number);
}

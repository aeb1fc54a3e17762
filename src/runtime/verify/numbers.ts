/** @file Checks of numbers: running statistics are updated once, and two bundles take the same step. */

import { isDeepStrictEqual } from 'node:util';
import { RequestError, type SlotRole, type TensorData } from '../../ir/index.js';
import { parseSlotName } from '../../step/interface.js';
import type { Bundle } from '../bundle/bundle.js';
import type { Batch } from '../data/batches.js';
import type { State } from '../model/state.js';
import { runSteps, type StepsResult } from '../model/step.js';
import type { SessionOptions } from '../session/session.js';
import { type Check, counted, type Outcome, some } from './check.js';
import { difference, largest, type Pair } from './difference.js';
import { learningRate, type Planned } from './observed.js';

/** Largest departure that is agreement, as a share of a tensor's largest value. */
const tolerance = 1e-5;

/** A tensor whose largest value is below this share of its kind's is rounding errors of sums that cancel. */
const negligible = 1e-6;

/** What a step from a state is taken with. */
export interface StepOptions extends SessionOptions {
  readonly state: State;
  readonly batch: Batch;
}

const oneStep = (bundle: Bundle, options: StepOptions): Promise<StepsResult> =>
  runSteps(bundle, { ...options, learningRate, steps: 1 });

/**
 * Whether each running statistic takes its share of the batch's observation once, and each counter counts one. The
 * observation doesn't depend on the statistic, so of a change before the step `1 − share` must be left after it.
 */
export async function checkRunning(bundle: Bundle, { record }: Planned, options: StepOptions): Promise<Outcome> {
  const shares = new Map(
    bundle.manifest.state.flatMap(({ name, role, tensors }) =>
      role === 'running'
        ? tensors.map((tensor) => [tensor.name, record.runningShare[name] ?? Number.NaN] as const)
        : [],
    ),
  );
  const changed = new Map(options.state);
  for (const name of shares.keys()) changed.set(name, moved(options.state.get(name) as TensorData));
  const { state: one } = await oneStep(bundle, options);
  const { state: other } = await oneStep(bundle, { ...options, state: changed });
  const wrong = [...shares].flatMap(([name, share]) => {
    const [before, after] = [one.get(name)?.data ?? [], other.get(name)?.data ?? []];
    const left = Array.from(after as Float32Array, (value, index) => value - Number(before[index]));
    const scale = Math.max(1, ...Array.from(after as Float32Array, Math.abs));
    const isOnce = left.every((difference) => Math.abs(difference - (1 - share)) <= tolerance * scale);
    return isOnce ? [] : [`${name} keeps ${left[0]?.toPrecision(4)} of what it was, not ${1 - share}`];
  });
  const counters = bundle.manifest.state.flatMap(({ role, tensors }) => (role === 'counter' ? tensors : []));
  for (const { name } of counters) {
    const [before, after] = [options.state.get(name)?.data[0] ?? 0n, one.get(name)?.data[0] ?? 0n];
    if (BigInt(after) - BigInt(before) !== 1n) wrong.push(`${name} counts from ${before} to ${after}`);
  }
  if (wrong.length > 0) return { ok: false, detail: `${wrong.length} are not updated once: ${some(wrong)}` };
  return { ok: true, detail: `${counted(shares.size, 'running statistic')} updated once` };
}

function moved({ shape, data }: TensorData): TensorData {
  return { dtype: 'float32', shape, data: Float32Array.from(data as Float32Array, (value) => value + 1) };
}

/**
 * Requires that two bundles train one network by one rule.
 * @throws RequestError naming what differs
 */
export function checkComparable({ directory, manifest }: Bundle, against: Bundle): void {
  const facts = ({
    inputShape,
    classes,
    loss,
    optimizer,
    state,
    dropout,
  }: typeof manifest): Record<string, unknown> => ({
    'input shape': inputShape,
    classes,
    loss,
    optimizer,
    dropout,
    tensors: state
      .flatMap(({ role, tensors }) => tensors.map(({ name, shape }) => `${role} ${name} [${shape.join(', ')}]`))
      .sort(),
  });
  const [mine, other] = [facts(manifest), facts(against.manifest)];
  for (const [what, value] of Object.entries(mine)) {
    if (isDeepStrictEqual(value, other[what])) continue;
    throw new RequestError(
      `${directory} and ${against.directory} differ in their ${what}; compare bundles of one network, loss and optimizer`,
    );
  }
}

/** Holds a step of a bundle against another bundle's, tensor by tensor, from the same state and batch. */
export async function checkAgainst(bundle: Bundle, against: Bundle, options: StepOptions): Promise<Check[]> {
  const [found, expected] = [await oneStep(bundle, options), await oneStep(against, options)];
  const kinds = new Map<string, [string, Pair][]>();
  const add = (kind: string, name: string, pair: Pair): void => {
    kinds.set(kind, [...(kinds.get(kind) ?? []), [name, pair]]);
  };
  add('loss', 'loss', { found: found.losses, expected: expected.losses });
  const roles = new Map(bundle.manifest.state.flatMap(({ role, tensors }) => tensors.map(({ name }) => [name, role])));
  for (const [name, { data }] of expected.state) {
    add(kindOf(name, roles.get(name)), name, { found: found.state.get(name)?.data ?? [], expected: data });
  }
  return [...kinds].map(([kind, tensors]) => ({ name: `against: ${kind}`, ...compare(tensors) }));
}

function kindOf(name: string, role: string | undefined): string {
  if (role === 'parameter') return 'parameters';
  if (role === 'running') return 'running statistics';
  if (role === 'counter') return 'counters';
  const slot = parseSlotName(name);
  return slot ? slotKinds[slot.role] : 'corrections';
}

const slotKinds: Readonly<Record<SlotRole, string>> = {
  momentum: 'momentum',
  variance: 'variance',
  gradientMean: 'mean gradient',
  accumulator: 'accumulated gradient',
  ema: 'average of the weights',
};

/** The worst departure among tensors of a kind. */
function compare(tensors: readonly (readonly [string, Pair])[]): Outcome {
  const scales = tensors.map(([, { expected }]) => largest(expected));
  const floor = negligible * Math.max(...scales);
  let worst = { name: '', departure: 0 };
  for (const [index, [name, pair]] of tensors.entries()) {
    const departure = difference(pair) / Math.max(scales[index] ?? 0, floor, Number.MIN_VALUE);
    if (!(departure <= worst.departure)) worst = { name, departure };
  }
  const count = `${tensors.length} tensor${tensors.length === 1 ? '' : 's'}`;
  if (tensors.every(([, pair]) => identical(pair))) return { ok: true, detail: `${count} equal bit for bit` };
  const detail = `the worst of ${count} is ${worst.name}: ${worst.departure.toExponential(1)} of its largest value`;
  return { ok: worst.departure <= tolerance, detail };
}

function identical({ found, expected }: Pair): boolean {
  return (
    found.length === expected.length && Array.from(expected).every((value, index) => Object.is(value, found[index]))
  );
}

/** @file Reference kernels of the operators that work position by position. */

import type { DType, OperatorName } from '../../../src/ir/index.js';
import { at, broadcastIndices } from './array.js';
import { dropoutMask } from './dropout.js';
import type { Call, Kernel, Kernels } from './kernel.js';

/** Reads an operand at a position of the result. */
type Read = (position: number) => number;

function map(call: Call<OperatorName>, compute: (x: number) => number): readonly Float64Array[] {
  return [Float64Array.from(call.input(0).data, compute)];
}

function zip(call: Call<OperatorName>, compute: (a: number, b: number) => number): readonly Float64Array[] {
  const [a, b] = [call.input(0), call.input(1)];
  const atA = broadcastIndices(a.shape, call.shape());
  const atB = broadcastIndices(b.shape, call.shape());
  return [call.zeros().map((_, position) => compute(at(a.data, at(atA, position)), at(b.data, at(atB, position))))];
}

/** An integer wrapped around into the range of its type; undefined for types that are not integers. */
const wrap: Readonly<Record<DType, ((value: bigint) => bigint) | undefined>> = {
  float32: undefined,
  bool: undefined,
  uint32: (value) => BigInt.asUintN(32, value),
  int64: (value) => BigInt.asIntN(64, value),
};

function exact(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new Error(`${value} is not exact as a float64`);
  return number;
}

/** Arithmetic in the operands' type: float64 for floats, truncated and wrapped around for integers. */
function arithmetic(
  float: (a: number, b: number) => number,
  integer: (a: bigint, b: bigint) => bigint,
): Kernel<OperatorName> {
  return (call) => {
    const wrapped = wrap[call.dtypes.outputs[0] ?? 'float32'];
    return zip(call, wrapped ? (a, b) => exact(wrapped(integer(BigInt(a), BigInt(b)))) : float);
  };
}

function truth(compare: (a: number, b: number) => boolean): Kernel<OperatorName> {
  return (call) => zip(call, (a, b) => (compare(a, b) ? 1 : 0));
}

function replaced(operator: string): never {
  throw new Error(`${operator} has no value until a mode is chosen`);
}

export const elementwise: Kernels<
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'equal'
  | 'greater'
  | 'minimum'
  | 'clip'
  | 'neg'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'reciprocal'
  | 'relu'
  | 'hardSigmoid'
  | 'cast'
  | 'where'
  | 'reluGrad'
  | 'dropout'
  | 'dropoutMask'
> = {
  add: arithmetic(
    (a, b) => a + b,
    (a, b) => a + b,
  ),
  sub: arithmetic(
    (a, b) => a - b,
    (a, b) => a - b,
  ),
  mul: arithmetic(
    (a, b) => a * b,
    (a, b) => a * b,
  ),
  div: arithmetic(
    (a, b) => a / b,
    (a, b) => a / b,
  ),
  equal: truth((a, b) => a === b),
  greater: truth((a, b) => a > b),
  minimum: (call) =>
    call.inputs.reduce<readonly Float64Array[]>(
      ([least], part) => {
        const indices = broadcastIndices(part.shape, call.shape());
        return [
          call
            .zeros()
            .map((_, position) => Math.min(at(least as Float64Array, position), at(part.data, at(indices, position)))),
        ];
      },
      [call.zeros().fill(Number.POSITIVE_INFINITY)],
    ),
  clip(call) {
    const [least, most] = [1, 2].map((index) => at(call.input(index).data, 0)) as [number, number];
    return map(call, (x) => Math.max(least, Math.min(most, x)));
  },
  neg: (call) => map(call, (x) => -x),
  exp: (call) => map(call, Math.exp),
  log: (call) => map(call, Math.log),
  sqrt: (call) => map(call, Math.sqrt),
  reciprocal: (call) => map(call, (x) => 1 / x),
  relu: (call) => map(call, (x) => Math.max(x, 0)),
  hardSigmoid(call) {
    const { alpha, beta } = call.attributes;
    return map(call, (x) => Math.max(0, Math.min(1, alpha * x + beta)));
  },
  cast(call) {
    const { to } = call.attributes;
    const wrapped = wrap[to];
    if (wrapped) return map(call, (x) => exact(wrapped(BigInt(Math.trunc(x)))));
    return map(call, to === 'bool' ? (x) => (x === 0 ? 0 : 1) : (x) => x);
  },
  where(call) {
    const [when, then, otherwise] = [0, 1, 2].map((index) => {
      const { data, shape } = call.input(index);
      const indices = broadcastIndices(shape, call.shape());
      return (position: number): number => at(data, at(indices, position));
    }) as [Read, Read, Read];
    return [call.zeros().map((_, position) => (when(position) !== 0 ? then(position) : otherwise(position)))];
  },
  reluGrad: (call) => zip(call, (gradient, output) => (output > 0 ? gradient : 0)),
  dropout: () => replaced('dropout'),
  dropoutMask,
};

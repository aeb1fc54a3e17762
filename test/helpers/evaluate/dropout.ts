/** @file Reference kernel of dropout's masks: the definition in docs/decisions.md, in plain uint32 arithmetic. */

import { at, count } from './array.js';
import type { Kernel } from './kernel.js';

const golden = 0x9e3779b1;

const times = (a: number, b: number): number => Math.imul(a, b) >>> 0;
const plus = (a: number, b: number): number => (a + b) >>> 0;

function mix(start: number): number {
  let x = start;
  for (const factor of [0x7feb352d, 0x846ca68b, 0xc2b2ae35]) {
    x = times(x, factor);
    x = plus(x, Math.floor(x / 65536));
  }
  return x;
}

/** The low 32 bits of an integer of either sign. */
function low32(value: number): number {
  return Number(BigInt.asUintN(32, BigInt(value)));
}

/** The hash of an element of a sample, uniform over 0 … 2³² − 1. */
export function dropoutHash(seed: number, step: number, sample: number, layer: number, element: number): number {
  const start = mix(plus(times(low32(step), golden), low32(seed)));
  const row = mix(plus(times(sample, golden), start));
  const a1 = mix(plus(row, times(2 * layer + 1, 0x85ebca6b)));
  const a2 = mix(plus(row, times(2 * layer + 2, 0x85ebca6b)));
  const b1 = mix(plus(times(element, golden), 0x243f6a88));
  const b2 = mix(plus(times(element, golden), 0x85a308d3));
  const sum = plus(a1, b1);
  const x = plus(times(sum, sum), b2);
  return times(x, plus(x, a2));
}

export const dropoutMask: Kernel<'dropoutMask'> = (call) => {
  const { rate, key } = call.attributes;
  const [step, seed] = [at(call.input(0).data, 0), at(call.input(1).data, 0)];
  const first = call.inputs[2] ? at(call.input(2).data, 0) : 0;
  const elements = count(call.shape().slice(1));
  const threshold = Math.floor(rate * 2 ** 32) - 1;
  const scale = Math.fround(1 / (1 - rate));
  return [
    call.zeros().map((_, index) => {
      const hash = dropoutHash(seed, step, first + Math.floor(index / elements), key, index % elements);
      return hash > threshold ? scale : 0;
    }),
  ];
};

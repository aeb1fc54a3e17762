/** @file Reproducible numbers for tests, each stream told apart by a name. */

import { type NdArray, ndArray } from './evaluate/array.js';

/** A stream of numbers in [0, 1). */
export type RandomSource = () => number;

/** The stream of a name (mulberry32 from a hash of it). */
export function randomSource(name: string): RandomSource {
  let state = 0;
  for (const character of name) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193) + 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How the elements of a random array are drawn. */
export type Distribution =
  /** Standard normal. */
  | 'normal'
  /** Evenly in 0.5 … 1.5. */
  | 'positive'
  /** Either sign, 0.5 … 1.5 away from 0: far from a kink there. */
  | 'away from zero'
  /** Multiples of 0.1 in random order, so that no two are close: far from a change of the largest. */
  | 'distinct';

/** A random array; every element is a float32, so that nothing is lost on the way into the runtime. */
export function randomArray(shape: readonly number[], random: RandomSource, distribution: Distribution): NdArray {
  const count = shape.reduce((product, extent) => product * extent, 1);
  const draw = Float64Array.from({ length: count }, (_, index) => {
    if (distribution === 'normal') return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    if (distribution === 'distinct') return (index - Math.floor(count / 2)) / 10;
    const magnitude = 0.5 + random();
    return distribution === 'positive' || random() < 0.5 ? magnitude : -magnitude;
  });
  if (distribution === 'distinct') shuffle(draw, random);
  return ndArray(shape, draw.map(Math.fround));
}

function shuffle(data: Float64Array, random: RandomSource): void {
  for (let last = data.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const value = data[last] as number;
    data[last] = data[other] as number;
    data[other] = value;
  }
}

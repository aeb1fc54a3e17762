/** @file Parsers of option values; commander shows what they throw, with the option's name. */

import { InvalidArgumentError } from 'commander';

/** A whole number of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`Give a whole number, at least ${least}.`);
    }
    return value;
  };
}

/** Height and width: one number for both, or two with an x between them. */
export function imageExtents(text: string): readonly [number, number] {
  const [height, width, ...more] = text.split(/[x×]/i).map(wholeNumber(1));
  if (height === undefined || more.length > 0) throw new InvalidArgumentError('Give one number, or two as in 48x64.');
  return [height, width ?? height];
}

/** A seed: a whole number from 0 to 2³² − 1. */
export function seed(text: string): number {
  const value = wholeNumber(0)(text);
  if (value >= 2 ** 32) throw new InvalidArgumentError('Give a whole number from 0 to 4294967295.');
  return value;
}

/** A finite number. */
export function finiteNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Give a number, like 0.1 or 1e-4.');
  return value;
}

/** A finite number, or the word none. */
export function numberOrNone(text: string): number | 'none' {
  if (text.trim().toLowerCase() === 'none') return 'none';
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value))
    throw new InvalidArgumentError('Give a number, like 0.5, or none.');
  return value;
}

/** Whole numbers separated by commas. */
export function wholeNumbers(text: string): number[] {
  return text.split(',').map(wholeNumber(1));
}

/** Finite numbers separated by commas. */
export function finiteNumbers(text: string): number[] {
  return text.split(',').map(finiteNumber);
}

/** Finite numbers separated by commas, or a word or file that stands for them. */
export function numbersOrName(text: string): number[] | string {
  return /^[\d.eE+,\s-]+$/.test(text) ? finiteNumbers(text) : text;
}

/** Names separated by commas. */
export function names(text: string): string[] {
  const found = text.split(',').map((name) => name.trim());
  if (found.includes('')) throw new InvalidArgumentError('Give names, as in features.conv0,features.denseblock1.');
  return found;
}

/** Two numbers separated by a comma. */
export function pair(text: string): [number, number] {
  const [first, second, ...more] = text.split(',').map(finiteNumber);
  if (first === undefined || second === undefined || more.length > 0) {
    throw new InvalidArgumentError('Give two numbers, as in 0.9,0.999.');
  }
  return [first, second];
}

/** Bytes by unit: 1 MB = 10⁶ bytes, 1 MiB = 2²⁰. */
const units: Readonly<Record<string, number>> = {
  ...{ '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
  ...{ KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30, TIB: 2 ** 40 },
};

/** A size in bytes: 400MB, 0.4GB, 400MiB, or a number of bytes. */
export function byteSize(text: string): number {
  const [, number = '', unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = units[unit.toUpperCase()];
  const bytes = Math.floor(Number(number) * (factor ?? Number.NaN));
  if (number === '' || !Number.isSafeInteger(bytes) || bytes < 1) {
    throw new InvalidArgumentError('Give a size, as in 400MB, 0.4GB or 400MiB.');
  }
  return bytes;
}

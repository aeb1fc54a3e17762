/** @file Pickles that Python wrote, read as data; what would run code is refused by name. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FailureError } from '../../../src/ir/errors.js';
import { readPickle } from '../../../src/runtime/data/pickle.js';
import { NumpyArray, PickleDict, textOf } from '../../../src/runtime/data/pickle-values.js';
import { pickled } from '../../helpers/pickle.js';

const fixture = (name: string): Buffer => readFileSync(new URL(`../../fixtures/pickle/${name}.pkl`, import.meta.url));

function readDict(bytes: Uint8Array): PickleDict {
  const value = readPickle(bytes, 'some.pkl');
  if (!(value instanceof PickleDict)) throw new Error('no dict');
  return value;
}

function numbers(value: unknown): number[] {
  if (!(value instanceof NumpyArray)) throw new Error('no array');
  return Array.from(value.numbers('some.pkl'));
}

describe.each([2, 3, 4, 5])('protocol %i', (protocol) => {
  it('holds what Python has put in', () => {
    const dict = readDict(fixture(`protocol-${protocol}`));
    expect(dict.get('data')).toMatchObject({ shape: [2, 12] });
    expect(numbers(dict.get('data'))).toEqual(Array.from({ length: 24 }, (_, index) => index));
    expect(dict.get('labels')).toEqual([3, 70000, -5, 2 ** 40]);
    expect(numbers(dict.get('wide'))).toEqual([1, -2, 300]);
    expect(dict.get('one')).toBe(7);
    expect(dict.get('names')).toEqual(['flugzeug', 'Äpfel']);
    const [none, yes, no, half, bytes, empty] = dict.get('mixed') as unknown[];
    expect([none, yes, no, half]).toEqual([null, true, false, 1.5]);
    expect(textOf(bytes as Uint8Array)).toBe('bytes');
    expect(empty).toEqual(new PickleDict());
  });

  it('is refused wherever it is cut off', () => {
    const whole = fixture(`protocol-${protocol}`);
    for (let length = 0; length < whole.length; length++) {
      expect(() => readPickle(whole.subarray(0, length), 'some.pkl'), `${length}`).toThrow(FailureError);
    }
  });

  it('with any one byte changed is read or refused, and nothing else', () => {
    const whole = fixture(`protocol-${protocol}`);
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] as number) ^ (1 + (at % 255));
      try {
        readPickle(changed, 'some.pkl');
      } catch (error) {
        expect(error, `byte ${at}`).toBeInstanceOf(FailureError);
      }
    }
  });
});

it.each<[string, () => Uint8Array, string]>([
  [
    'a function',
    () => Buffer.from('\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.', 'latin1'),
    'some.pkl names posix.system, which is not read',
  ],
  [
    'a builtin',
    () => Buffer.from('\x80\x04\x8c\x08builtins\x8c\x04eval\x93.', 'latin1'),
    'some.pkl names builtins.eval',
  ],
  ['a class', () => fixture('ordered'), 'some.pkl names collections.OrderedDict'],
  ['an object', () => fixture('object'), 'some.pkl names __main__.Point'],
  ['an instance', () => Buffer.from('\x80\x02}\x81.', 'latin1'), 'at byte 3 there is the opcode NEWOBJ (0x81)'],
  ['an old instance', () => Buffer.from('\x80\x02(ios\nsystem\n.', 'latin1'), 'the opcode INST (0x69)'],
  ['no opcode', () => Buffer.from('\x80\x02\xff.', 'latin1'), 'an opcode 0xff, which no pickle has'],
  ['protocol 0', () => fixture('protocol-0'), 'is no pickle of protocol 2 to 5'],
  ['a protocol to come', () => Buffer.from('\x80\x09.', 'latin1'), 'is a pickle of protocol 9'],
  [
    'a constructor for an array',
    () => Buffer.from('\x80\x02cnumpy\nndarray\n)R.', 'latin1'),
    'in a form that is not read',
  ],
  [
    'a length without bytes',
    () => Buffer.from('\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.', 'latin1'),
    'bytes should follow',
  ],
])('%s is refused by name', (_, make, message) => {
  expect(() => readPickle(make(), 'some.pkl')).toThrow(FailureError);
  expect(() => readPickle(make(), 'some.pkl')).toThrow(message);
});

it('Python 2 has bytes for texts', () => {
  const dict = readDict(pickled({ data: new Uint8Array(6144).fill(7), labels: [1, -2], names: ['a', 'b'] }));
  expect(dict.get('data')).toMatchObject({ shape: [2, 3072] });
  expect(dict.get('labels')).toEqual([1, -2]);
  expect((dict.get('names') as Uint8Array[]).map(textOf)).toEqual(['a', 'b']);
});

/** @file What pickles of numpy arrays name, understood without running anything. */

import { FailureError } from '../../ir/errors.js';
import { type GlobalName, NumpyArray, NumpyType, PickleGlobal, type PickleValue, textOf } from './pickle-values.js';

/** Names by which numpy's versions write arrays, and what they mean. */
const globals = {
  'numpy.core.multiarray._reconstruct': 'array',
  'numpy._core.multiarray._reconstruct': 'array',
  'numpy.core.multiarray.scalar': 'scalar',
  'numpy._core.multiarray.scalar': 'scalar',
  'numpy.core.numeric._frombuffer': 'buffer',
  'numpy._core.numeric._frombuffer': 'buffer',
  'numpy.ndarray': 'class',
  'numpy.dtype': 'type',
  '_codecs.encode': 'encode',
} as const satisfies Readonly<Record<string, GlobalName>>;

/** @throws FailureError for a name that has nothing to do with arrays */
export function requireGlobal(module: string, name: string, path: string): PickleGlobal {
  const full = `${module}.${name}`;
  if (Object.hasOwn(globals, full)) return new PickleGlobal(globals[full as keyof typeof globals]);
  throw new FailureError(
    `${path} names ${full}, which is not read: pickles are read as data, no code of theirs is run; take the original file`,
  );
}

/** What a call that a pickle describes would give. @throws FailureError when it is none of numpy's */
export function reduce(callable: PickleValue | undefined, args: PickleValue | undefined, path: string): PickleValue {
  const list = Array.isArray(args) ? args : [];
  const name = callable instanceof PickleGlobal ? callable.name : undefined;
  switch (name) {
    case 'array':
      return new NumpyArray();
    case 'type': {
      const code = textOf(list[0]);
      if (code !== undefined) return new NumpyType(code);
      break;
    }
    case 'encode': {
      const [text, encoding] = list.map(textOf);
      if (text !== undefined && /^latin-?1$/.test(encoding ?? '')) return Buffer.from(text, 'latin1');
      break;
    }
    case 'scalar': {
      const [type, bytes] = list;
      if (type instanceof NumpyType && bytes instanceof Uint8Array) {
        return filled([1], type, bytes, false, path).numbers(path)[0] ?? null;
      }
      break;
    }
    case 'buffer': {
      const [bytes, type, shape, order] = list;
      if (bytes instanceof Uint8Array && type instanceof NumpyType && isShape(shape)) {
        return filled(shape, type, bytes, order === 'F', path);
      }
      break;
    }
  }
  throw unknownForm(path);
}

/** Gives an array or a type its state. @throws FailureError when it is not of the known form */
export function build(target: PickleValue, state: PickleValue | undefined, path: string): void {
  const values = Array.isArray(state) ? state : [];
  if (target instanceof NumpyType) {
    target.littleEndian = textOf(values[1]) !== '>';
    return;
  }
  const [, shape, type, fortran, bytes] = values;
  if (!(target instanceof NumpyArray && isShape(shape) && type instanceof NumpyType && bytes instanceof Uint8Array)) {
    throw unknownForm(path);
  }
  Object.assign(target, filled(shape, type, bytes, fortran === true || fortran === 1, path));
}

function filled(
  shape: readonly number[],
  type: NumpyType,
  data: Uint8Array,
  columnMajor: boolean,
  path: string,
): NumpyArray {
  const count = shape.reduce((product, extent) => product * extent, 1);
  const bytes = count * Number(type.code.slice(1));
  if (columnMajor && shape.length > 1) {
    throw new FailureError(`${path}: an array is stored column by column; write it with numpy.ascontiguousarray(…)`);
  }
  if (data.length !== bytes) {
    throw new FailureError(
      `${path}: an array of ${shape.join('×')} has ${data.length} bytes, not ${bytes}; download it again`,
    );
  }
  return Object.assign(new NumpyArray(), { shape, type, data });
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((extent) => Number.isSafeInteger(extent) && extent >= 0);
}

function unknownForm(path: string): FailureError {
  return new FailureError(`${path} holds an object in a form that is not read; take the original file`);
}

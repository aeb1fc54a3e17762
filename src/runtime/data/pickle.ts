/** @file Reads Python's pickles as data (dicts, lists, numbers, texts, bytes, numpy arrays); no code is run. */

import { FailureError } from '../../ir/errors.js';
import { build, reduce, requireGlobal } from './pickle-numpy.js';
import { opcodes, refusedName } from './pickle-opcodes.js';
import { PickleDict, type PickleValue, textOf } from './pickle-values.js';

/**
 * Reads a pickle of protocol 2 to 5. Only opcodes that make data are known, and of functions only those by which numpy
 * writes its arrays, which are not called but understood.
 * @param path named in errors
 * @throws FailureError when it is cut off, broken, or holds another opcode or function, by its name
 */
export function readPickle(bytes: Uint8Array, path: string): PickleValue {
  return new PickleReader(bytes, path).read();
}

/** Protocols that are read; earlier ones are text, and escape what arrays hold. */
const protocols = { first: 2, last: 5 };

/** A machine with a stack, whose program the pickle is. */
class PickleReader {
  private readonly view: DataView;
  private readonly stack: PickleValue[] = [];
  /** Where on the stack each open list, tuple or dict begins. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private at = 0;

  private readonly operations: ReadonlyMap<number, () => void> = new Map([
    [opcodes.PROTO, () => this.checkProtocol(this.unsigned(1))],
    [opcodes.FRAME, () => void this.unsigned(8)],
    [opcodes.MARK, () => void this.marks.push(this.stack.length)],
    [opcodes.POP, () => void this.pop()],
    [opcodes.NONE, () => this.push(null)],
    [opcodes.NEWTRUE, () => this.push(true)],
    [opcodes.NEWFALSE, () => this.push(false)],
    [opcodes.BININT, () => this.push(this.view.getInt32(this.skip(4), true))],
    [opcodes.BININT1, () => this.push(this.unsigned(1))],
    [opcodes.BININT2, () => this.push(this.unsigned(2))],
    [opcodes.LONG1, () => this.push(this.long(this.unsigned(1)))],
    [opcodes.BINFLOAT, () => this.push(this.view.getFloat64(this.skip(8), false))],
    [opcodes.SHORT_BINSTRING, () => this.push(this.take(this.unsigned(1)))],
    [opcodes.SHORT_BINBYTES, () => this.push(this.take(this.unsigned(1)))],
    [opcodes.BINSTRING, () => this.push(this.take(this.unsigned(4)))],
    [opcodes.BINBYTES, () => this.push(this.take(this.unsigned(4)))],
    [opcodes.BINBYTES8, () => this.push(this.take(this.unsigned(8)))],
    [opcodes.BYTEARRAY8, () => this.push(this.take(this.unsigned(8)))],
    [opcodes.SHORT_BINUNICODE, () => this.push(this.text(this.unsigned(1)))],
    [opcodes.BINUNICODE, () => this.push(this.text(this.unsigned(4)))],
    [opcodes.BINUNICODE8, () => this.push(this.text(this.unsigned(8)))],
    [opcodes.EMPTY_LIST, () => this.push([])],
    [opcodes.EMPTY_TUPLE, () => this.push([])],
    [opcodes.EMPTY_DICT, () => this.push(new PickleDict())],
    [opcodes.LIST, () => this.push(this.toMark())],
    [opcodes.TUPLE, () => this.push(this.toMark())],
    [opcodes.TUPLE1, () => this.push(this.last(1))],
    [opcodes.TUPLE2, () => this.push(this.last(2))],
    [opcodes.TUPLE3, () => this.push(this.last(3))],
    [opcodes.DICT, () => this.dict(this.toMark())],
    [opcodes.APPEND, () => this.append(this.last(1))],
    [opcodes.APPENDS, () => this.append(this.toMark())],
    [opcodes.SETITEM, () => this.setItems(this.last(2))],
    [opcodes.SETITEMS, () => this.setItems(this.toMark())],
    [opcodes.BINPUT, () => void this.memo.set(this.unsigned(1), this.top())],
    [opcodes.LONG_BINPUT, () => void this.memo.set(this.unsigned(4), this.top())],
    [opcodes.MEMOIZE, () => void this.memo.set(this.memo.size, this.top())],
    [opcodes.BINGET, () => this.push(this.remembered(this.unsigned(1)))],
    [opcodes.LONG_BINGET, () => this.push(this.remembered(this.unsigned(4)))],
    [opcodes.GLOBAL, () => this.push(requireGlobal(this.line(), this.line(), this.path))],
    [opcodes.STACK_GLOBAL, () => this.global(this.last(2))],
    [opcodes.REDUCE, () => this.reduce(this.last(2))],
    [opcodes.BUILD, () => this.build(this.last(1))],
  ]);

  constructor(
    private readonly bytes: Uint8Array,
    private readonly path: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(): PickleValue {
    if (this.bytes[0] !== opcodes.PROTO) {
      throw new FailureError(
        `${this.path} is no pickle of protocol ${protocols.first} to ${protocols.last}; download it again, or write it with pickle.dump(data, file, protocol=2)`,
      );
    }
    for (;;) {
      const opcode = this.unsigned(1);
      if (opcode === opcodes.STOP) return this.pop();
      this.execute(opcode);
    }
  }

  private execute(opcode: number): void {
    const operation = this.operations.get(opcode);
    if (!operation) {
      throw new FailureError(
        `${this.path}: at byte ${this.at - 1} there is ${refusedName(opcode)}, which is not read: pickles are read as data, no code of theirs is run; take the original file`,
      );
    }
    operation();
  }

  private checkProtocol(protocol: number): void {
    if (protocol >= protocols.first && protocol <= protocols.last) return;
    throw new FailureError(
      `${this.path} is a pickle of protocol ${protocol}, read are ${protocols.first} to ${protocols.last}; write it with pickle.dump(data, file, protocol=2)`,
    );
  }

  private append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.broken('what is appended to is no list');
    for (const item of items) list.push(item);
  }

  private dict(items: readonly PickleValue[]): void {
    this.push(new PickleDict());
    this.setItems(items);
  }

  private global([module, name]: readonly PickleValue[]): void {
    this.push(requireGlobal(textOf(module) ?? '', textOf(name) ?? '', this.path));
  }

  private reduce([callable, args]: readonly PickleValue[]): void {
    this.push(reduce(callable, args, this.path));
  }

  private build([state]: readonly PickleValue[]): void {
    build(this.top(), state, this.path);
  }

  private setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof PickleDict)) throw this.broken('what gets an item is no dict');
    for (let at = 0; at + 1 < items.length; at += 2) {
      const key = typeof items[at] === 'number' ? (items[at] as number) : textOf(items[at]);
      if (key === undefined) throw this.broken('a key is neither text nor number');
      dict.set(key, items[at + 1] ?? null);
    }
  }

  private remembered(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) throw this.broken(`nothing is remembered as ${index}`);
    return value;
  }

  private push(value: PickleValue): void {
    this.stack.push(value);
  }

  private top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined) throw this.broken('the stack is empty');
    return value;
  }

  private pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined) throw this.broken('the stack is empty');
    return value;
  }

  /** Takes so many values off the stack. */
  private last(count: number): PickleValue[] {
    if (this.stack.length < count) throw this.broken('the stack is empty');
    return this.stack.splice(this.stack.length - count);
  }

  private toMark(): PickleValue[] {
    const mark = this.marks.pop();
    if (mark === undefined || mark > this.stack.length) throw this.broken('a mark is missing');
    return this.stack.splice(mark);
  }

  private unsigned(size: 1 | 2 | 4 | 8): number {
    const at = this.skip(size);
    if (size === 1) return this.view.getUint8(at);
    if (size === 2) return this.view.getUint16(at, true);
    if (size === 4) return this.view.getUint32(at, true);
    return Number(this.view.getBigUint64(at, true));
  }

  /** A whole number of any length, little endian, in two's complement. */
  private long(length: number): number {
    const bytes = this.take(length);
    const value = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    return Number(BigInt.asIntN(8 * length, value));
  }

  private take(length: number): Uint8Array {
    const begin = this.skip(length);
    return this.bytes.subarray(begin, begin + length);
  }

  private text(length: number): string {
    return Buffer.from(this.take(length)).toString('utf8');
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.broken('a line has no end');
    const text = Buffer.from(this.bytes.subarray(this.at, end)).toString('utf8');
    this.at = end + 1;
    return text;
  }

  /** Goes on by so many bytes. @returns where they begin */
  private skip(length: number): number {
    const begin = this.at;
    if (!(begin + length <= this.bytes.length)) {
      throw this.broken(`${length} bytes should follow, but ${this.bytes.length - begin} do`);
    }
    this.at += length;
    return begin;
  }

  private broken(reason: string): FailureError {
    return new FailureError(`${this.path} is broken or cut off at byte ${this.at}: ${reason}; download it again`);
  }
}

/** @file The bytes of a kernel's one parameter: a structure whose pointers stand before its 32-bit numbers. */

import { InternalError } from '../../../ir/index.js';

/** Writes a structure member by member, in the order of its definition in `kernels.ts`. */
export class Structure {
  private readonly view = new DataView(new ArrayBuffer(4096));
  private end = 0;

  pointers(...addresses: readonly bigint[]): this {
    for (const address of addresses) {
      this.view.setBigUint64(this.end, address, true);
      this.end += 8;
    }
    return this;
  }

  /** An array of `length` pointers, of which the first ones are given. */
  pointerArray(addresses: readonly bigint[], length: number): this {
    return this.pointers(...addresses).skip(8 * (length - addresses.length));
  }

  words(...values: readonly number[]): this {
    for (const value of values) {
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** 31) {
        throw new InternalError(`a kernel is given ${value}, which is no 31-bit number`);
      }
      this.view.setUint32(this.end, value, true);
      this.end += 4;
    }
    return this;
  }

  /** An array of `length` numbers, of which the first ones are given. */
  wordArray(values: readonly number[], length: number): this {
    return this.words(...values).skip(4 * (length - values.length));
  }

  floats(...values: readonly number[]): this {
    for (const value of values) {
      this.view.setFloat32(this.end, value, true);
      this.end += 4;
    }
    return this;
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.view.buffer, 0, Math.ceil(this.end / 8) * 8);
  }

  private skip(bytes: number): this {
    if (bytes < 0) throw new InternalError('an array of a structure is given too many values');
    this.end += bytes;
    return this;
  }
}

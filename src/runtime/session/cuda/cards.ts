/** @file The cards that CUDA's driver sees, asked without making a context on one. */

import { FailureError } from '../../../ir/index.js';
import { type CudaLibraries, cString, loadLibrary, Out } from './libraries.js';

/** The names of the cards, by index. @throws FailureError when the driver is missing or can't be started */
export function listCards(libraries: CudaLibraries): readonly string[] {
  const { find, file } = loadLibrary('driver', libraries);
  const call = (name: string, parameters: readonly string[], ...operands: readonly unknown[]): void => {
    const status = find(name, 'int', parameters)(...operands);
    if (status !== 0) {
      throw new FailureError(
        `${name} of ${file} failed with code ${status}; install the NVIDIA driver of the card (nvidia-smi shows whether it works)`,
      );
    }
  };
  call('cuInit', ['unsigned int'], 0);
  const out = new Out();
  call('cuDeviceGetCount', ['void *'], out.bytes);
  return Array.from({ length: out.int }, (_, index) => {
    const name = new Uint8Array(256);
    const device = new Out();
    call('cuDeviceGet', ['void *', 'int'], device.bytes, index);
    call('cuDeviceGetName', ['void *', 'int', 'int'], name, name.length, device.int);
    return cString(name);
  });
}

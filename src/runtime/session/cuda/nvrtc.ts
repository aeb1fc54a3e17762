/** @file NVRTC, NVIDIA's compiler as a library: CUDA C text in, machine code for one card out. */

import { FailureError, InternalError } from '../../../ir/index.js';
import { type CudaLibraries, cString, loadLibrary, Out } from './libraries.js';

/**
 * Compiles a program to machine code for a compute capability.
 * @param capability as `90` for 9.0
 * @throws FailureError when NVRTC is missing or too old for the card
 */
export function compileKernels(source: string, capability: number, libraries: CudaLibraries): Uint8Array {
  const { find, file } = loadLibrary('nvrtc', libraries);
  const program = 'uint64_t';
  const version = find('nvrtcVersion', 'int', ['void *', 'void *']);
  const countTargets = find('nvrtcGetNumSupportedArchs', 'int', ['void *']);
  const listTargets = find('nvrtcGetSupportedArchs', 'int', ['void *']);
  const create = find('nvrtcCreateProgram', 'int', ['void *', 'str', 'str', 'int', 'void *', 'void *']);
  const destroy = find('nvrtcDestroyProgram', 'int', ['void *']);
  const compile = find('nvrtcCompileProgram', 'int', [program, 'int', 'const char **']);
  const codeSize = find('nvrtcGetCUBINSize', 'int', [program, 'void *']);
  const code = find('nvrtcGetCUBIN', 'int', [program, 'void *']);
  const logSize = find('nvrtcGetProgramLogSize', 'int', [program, 'void *']);
  const log = find('nvrtcGetProgramLog', 'int', [program, 'void *']);
  const explain = find('nvrtcGetErrorString', 'str', ['int']);
  const check = (name: string, status: unknown): void => {
    if (status !== 0) throw new FailureError(`NVRTC's ${name} failed: ${explain(status)} (code ${status}, ${file})`);
  };

  const out = new Out();
  check('nvrtcGetNumSupportedArchs', countTargets(out.bytes));
  const targets = new Int32Array(out.int);
  check('nvrtcGetSupportedArchs', listTargets(targets));
  if (!targets.includes(capability)) {
    const [major, minor] = [new Out(), new Out()];
    check('nvrtcVersion', version(major.bytes, minor.bytes));
    throw new FailureError(
      `NVRTC ${major.int}.${minor.int} (${file}) compiles for the capabilities ${[...targets].join(', ')}, the card has ${capability}; install the NVRTC of a CUDA release that knows the card, or run with --kernels plain`,
    );
  }
  check('nvrtcCreateProgram', create(out.bytes, source, 'densec.cu', 0, null, null));
  const handle = new Uint8Array(out.bytes);
  const id = out.address;
  try {
    const options = [`--gpu-architecture=sm_${capability}`, '--std=c++17'];
    if (compile(id, options.length, options) !== 0) {
      check('nvrtcGetProgramLogSize', logSize(id, out.bytes));
      const text = new Uint8Array(out.size);
      check('nvrtcGetProgramLog', log(id, text));
      throw new InternalError(`the kernels do not compile for sm_${capability}:\n${cString(text)}`);
    }
    check('nvrtcGetCUBINSize', codeSize(id, out.bytes));
    const machineCode = new Uint8Array(out.size);
    check('nvrtcGetCUBIN', code(id, machineCode));
    return machineCode;
  } finally {
    destroy(handle);
  }
}

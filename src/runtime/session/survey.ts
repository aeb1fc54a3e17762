/** @file What runs here: how the runtime is reached, and a tiny model on each device. */

import { DensecError, FailureError, floatTensor, GraphBuilder } from '../../ir/index.js';
import { encodeGraph } from '../../onnx/index.js';
import { listCards } from './cuda/cards.js';
import { installedLibraries, missingLibrary } from './cuda/libraries.js';
import { missingNccl } from './cuda/nccl.js';
import { type DeviceProblem, explainDevice, missingCudaProvider } from './device-problems.js';
import { type Device, deviceName } from './devices.js';
import type { RuntimeFacts } from './model-session.js';
import { findMpi, mpiLauncher, mpiRemedy } from './mpi/library.js';
import { openSession } from './open-session.js';
import { runtimeChoice } from './runtime-choice.js';
import { explainRuntime, libraryFolder, requireRuntime, wantedVersion } from './runtime-package.js';

/** A device, and whether models run there. */
export interface SurveyedDevice {
  /** As `--device` takes it. */
  readonly name: string;
  readonly available: boolean;
  /** What it is, or why nothing runs there. */
  readonly detail: string;
  /** What mends it. */
  readonly remedy?: string;
}

/** What runs here. */
export interface Survey {
  readonly runtime: RuntimeFacts & {
    /** The version that densec was tried with. */
    readonly wanted: string;
    /** The folder of its libraries; null where it isn't installed. */
    readonly folder: string | null;
    /** Providers that it was built with, by the names of devices; null where nothing can be asked. */
    readonly providers: readonly string[] | null;
  };
  readonly devices: readonly SurveyedDevice[];
  /** Whether `--kernels cudnn` can be compiled and run on a card here. */
  readonly kernels: Omit<SurveyedDevice, 'name'>;
  /** Which MPI `train --processes` would use. */
  readonly mpi: Omit<SurveyedDevice, 'name'>;
  /** Whether cards of several processes can meet. */
  readonly nccl: Omit<SurveyedDevice, 'name'>;
}

/** Looks at the runtime and runs a model of one node on each device. @throws RequestError for an unknown DENSEC_RUNTIME */
export async function surveyDevices(): Promise<Survey> {
  const runtime = await runtimeChoice();
  const missing = missingLibrary();
  const broken = missingRuntime();
  const cards = broken ? [] : cardsHere();
  const devices: SurveyedDevice[] = [];
  for (const device of [
    { target: 'cpu', index: 0 },
    { target: 'webgpu', index: 0 },
  ] as const) {
    devices.push(broken ? absent(device, broken) : await tried(device));
  }
  const cuda = { target: 'cuda', index: 0 } as const;
  if (broken) devices.push(absent(cuda, broken));
  else if ('remedy' in cards) devices.push(absent(cuda, cards));
  else for (const [index, card] of cards.entries()) devices.push(await tried({ target: 'cuda', index }, card));
  return {
    runtime: {
      ...runtime,
      wanted: wantedVersion,
      folder: broken ? null : libraryFolder(),
      providers: broken ? null : await providers(runtime),
    },
    devices,
    kernels: missing
      ? { available: false, ...split(missing) }
      : { available: true, detail: "densec's own kernels and cuDNN load: --target cuda --kernels cudnn" },
    mpi: surveyMpi(),
    nccl: surveyNccl(),
  };
}

/** The MPI library of this system, and the program that starts processes with it. */
function surveyMpi(): Survey['mpi'] {
  try {
    const { version, abi, path } = findMpi();
    const launcher = mpiLauncher();
    const detail = `${version}, ABI of ${abi}, ${path}`;
    if (launcher) return { available: true, detail: `${detail}; started by ${launcher}` };
    return { available: false, detail: `${detail}; no mpiexec in the PATH`, remedy: mpiRemedy };
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
    return { available: false, ...split(error.message) };
  }
}

function surveyNccl(): Survey['nccl'] {
  const missing = missingNccl();
  if (missing !== undefined) return { available: false, ...split(missing) };
  return { available: true, detail: 'the library loads: sums of several processes stay on their cards' };
}

function missingRuntime(): DeviceProblem | undefined {
  try {
    requireRuntime();
    return undefined;
  } catch (error) {
    return split((error as Error).message);
  }
}

/** The names of the cards, or what is missing before there are any. */
function cardsHere(): readonly string[] | DeviceProblem {
  const provider = missingCudaProvider();
  if (provider) return provider;
  try {
    const cards = listCards(installedLibraries);
    if (cards.length > 0) return cards;
    return { detail: 'the NVIDIA driver sees no card', remedy: 'nvidia-smi shows what it sees' };
  } catch (error) {
    if (!(error instanceof DensecError)) throw error;
    return split(error.message);
  }
}

/** Our errors end with what helps, behind a semicolon; there may be others within parentheses. */
function split(message: string): DeviceProblem {
  const [detail = message, ...remedy] = message.split(/; (?![^(]*\))/);
  return { detail, remedy: remedy.join('; ') };
}

const absent = (device: Device, { detail, remedy }: DeviceProblem): SurveyedDevice => ({
  name: deviceName(device),
  available: false,
  detail,
  ...(remedy !== '' && { remedy }),
});

/** A device on which a model of one node has been run, or why not. */
async function tried(device: Device, card?: string): Promise<SurveyedDevice> {
  try {
    const session = await openSession({
      ...{ model: oneNode(), device, threads: 1, optimization: 'disabled', memoryPattern: false },
      cudaGraph: false,
    });
    try {
      const feeds = [['x', floatTensor([2], [-1, 2])]] as const;
      const [result] = await session.run({ feeds, results: ['y'], updates: [] });
      const values = Array.from(result?.[1].data ?? [], Number);
      if (values.join() !== '0,2') throw new FailureError(`a ReLU of -1 and 2 gave ${values.join(' and ')}`);
    } finally {
      await session.close();
    }
    return { name: deviceName(device), available: true, detail: card ? `${card}: a model was run` : 'a model was run' };
  } catch (error) {
    const { message } = error as Error;
    const known = explainDevice(device, message) ?? split(message.split('\n')[0] ?? message);
    return absent(device, known);
  }
}

function oneNode(): Uint8Array {
  const builder = new GraphBuilder('one');
  const x = builder.input({ dtype: 'float32', shape: ['N'] }, { name: 'x', role: 'batch' });
  return encodeGraph(builder.finish([{ name: 'y', role: 'result', value: builder.emit('relu', [x], {}) }]));
}

/** Devices by the names that the runtime has for their providers. */
const byProvider: Readonly<Record<string, string>> = {
  TensorrtExecutionProvider: 'tensorrt',
  CPUExecutionProvider: 'cpu',
  CUDAExecutionProvider: 'cuda',
  WebGpuExecutionProvider: 'webgpu',
};

async function providers({ api }: RuntimeFacts): Promise<readonly string[] | null> {
  if (api === 'c') {
    const { ortApi } = await import('./ort/api.js');
    return ortApi()
      .providers()
      .map((name) => byProvider[name] ?? name);
  }
  try {
    const { listSupportedBackends } = await import('onnxruntime-node');
    return listSupportedBackends().map(({ name }) => name);
  } catch (error) {
    throw new FailureError(explainRuntime(error as Error), { cause: error });
  }
}

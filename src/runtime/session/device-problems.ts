/** @file Why a device can't be used, and the one command or step that mends it. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Device } from './devices.js';
import { libraryFolder, wantedVersion } from './runtime-package.js';

/** What is wrong with a device, and what mends it. */
export interface DeviceProblem {
  readonly detail: string;
  readonly remedy: string;
}

/** The file of the runtime's CUDA provider, by platform; on others there is none. */
const cudaProviders: Readonly<Record<string, string>> = {
  'linux-x64': 'libonnxruntime_providers_cuda.so',
  'win32-x64': 'onnxruntime_providers_cuda.dll',
};

/** What is missing for CUDA before anything is loaded; undefined where the provider is there. */
export function missingCudaProvider(): DeviceProblem | undefined {
  const platform = `${process.platform}-${process.arch}`;
  const file = cudaProviders[platform];
  if (file === undefined) {
    return {
      detail: `onnxruntime has no CUDA provider for ${platform}`,
      remedy: `use --device cpu or webgpu here, or a machine with ${Object.keys(cudaProviders).join(' or ')}`,
    };
  }
  const folder = libraryFolder();
  if (existsSync(join(folder, file))) return undefined;
  const script = join(folder, '..', '..', '..', '..', 'script', 'install.js');
  return {
    detail: `onnxruntime's CUDA provider (${file}) is not in ${folder}`,
    remedy: `run: node ${script} --onnxruntime-node-install=cuda12 (with CUDA 13, put the files of pip's onnxruntime-gpu ${wantedVersion} there instead)`,
  };
}

/** What to do for a library of NVIDIA's that the provider needs. */
const libraryRemedies: readonly (readonly [RegExp, string])[] = [
  [
    /libcuda\.so|nvcuda\.dll|driver version/i,
    'install the NVIDIA driver of the card (nvidia-smi shows whether it works)',
  ],
  [
    /lib(cudnn|cublas|cublasLt|cudart|curand|cufft|nvrtc)\w*\.so|(cudnn|cublas|cudart|curand|cufft)\w*\.dll/i,
    'install CUDA and cuDNN 9 for the provider (pip install nvidia-cudnn-cu13 nvidia-cublas nvidia-cuda-runtime nvidia-curand nvidia-cufft, or cu12) and put their lib folders on LD_LIBRARY_PATH (on Windows, PATH)',
  ],
];

const vulkan: Readonly<Partial<Record<NodeJS.Platform, string>>> = {
  linux:
    "install the card's Vulkan driver and its loader (Debian and Ubuntu: apt-get install libvulkan1 mesa-vulkan-drivers, or NVIDIA's driver)",
  win32: "install the card's current driver, which brings Direct3D 12",
};

/** What the runtime's message says of a device that it could not use; undefined where it is about something else. */
export function explainDevice({ target }: Device, message: string): DeviceProblem | undefined {
  if (target === 'webgpu' && /WebGPU adapter|Vulkan|supported adapters/i.test(message)) {
    return {
      detail: 'no graphics card was found that WebGPU can use',
      remedy: vulkan[process.platform] ?? 'use a machine with a graphics card, or --device cpu',
    };
  }
  if (target !== 'cuda') return undefined;
  const missing = missingCudaProvider();
  if (missing) return missing;
  const remedy = libraryRemedies.find(([pattern]) => pattern.test(message))?.[1];
  if (remedy === undefined) return undefined;
  // What the runtime says begins with a place in its source.
  const [, cause = message] = /with error: (.*)/.exec(message) ?? [];
  return { detail: `onnxruntime's CUDA provider can't be loaded: ${cause.split('\n')[0]}`, remedy };
}

/** @file How much of a card's memory is in use, by all processes, as NVIDIA's management library counts it. */

import { installedLibraries, loadLibrary, type NativeLibrary, Out } from './libraries.js';

/** What is asked of a card without running anything on it. */
interface CardMemory {
  /** Bytes in use on the card, by all processes, contexts included. */
  usedBytes(): number;
  close(): void;
}

/** The memory of a card by its index; undefined where the management library or the card isn't there. */
function openCardMemory(index: number): CardMemory | undefined {
  const library = managementLibrary();
  if (library?.find('nvmlInit_v2', 'int', [])() !== 0) return undefined;
  const shutdown = library.find('nvmlShutdown', 'int', []);
  const device = new Out();
  if (library.find('nvmlDeviceGetHandleByIndex_v2', 'int', ['unsigned int', 'void *'])(index, device.bytes) !== 0) {
    shutdown();
    return undefined;
  }
  // total, free and used, in bytes.
  const memory = new BigUint64Array(3);
  const read = library.find('nvmlDeviceGetMemoryInfo', 'int', ['uint64_t', 'void *']);
  return {
    usedBytes: () => (read(device.address, memory) === 0 ? Number(memory[2]) : Number.NaN),
    close: () => {
      shutdown();
    },
  };
}

/** Watches a card until it is told to stop; then gives the bytes in use at most, above those at the beginning. */
export function watchCardMemory(index: number, everyMs = 5): (() => number) | undefined {
  const card = openCardMemory(index);
  if (!card) return undefined;
  const idle = card.usedBytes();
  let peak = idle;
  const timer = setInterval(() => {
    peak = Math.max(peak, card.usedBytes());
  }, everyMs);
  timer.unref();
  return () => {
    clearInterval(timer);
    peak = Math.max(peak, card.usedBytes());
    card.close();
    return peak - idle;
  };
}

function managementLibrary(): NativeLibrary | undefined {
  try {
    return loadLibrary('management', installedLibraries);
  } catch {
    // Without it nobody tells how much is in use.
    return undefined;
  }
}

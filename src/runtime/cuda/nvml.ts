/** @file How much of a card's memory is in use, by all processes, as NVIDIA's management library counts it. */

import koffi from 'koffi';

/** What is asked of a card without running anything on it. */
interface CardMemory {
  /** Bytes in use on the card, by all processes, contexts included. */
  usedBytes(): number;
  close(): void;
}

const libraries = process.platform === 'win32' ? ['nvml.dll'] : ['libnvidia-ml.so.1', 'libnvidia-ml.so'];

/** The memory of a card by its index; undefined where the management library or the card isn't there. */
function openCardMemory(index: number): CardMemory | undefined {
  const library = load();
  if (!library) return undefined;
  const call = (name: string, operands: string): ((...operands: unknown[]) => number) =>
    library.func(`int ${name}(${operands})`) as unknown as (...operands: unknown[]) => number;
  if (call('nvmlInit_v2', '')() !== 0) return undefined;
  const shutdown = call('nvmlShutdown', '');
  const device: [unknown] = [null];
  if (call('nvmlDeviceGetHandleByIndex_v2', 'unsigned int index, _Out_ void **device')(index, device) !== 0) {
    shutdown();
    return undefined;
  }
  // total, free and used, in bytes.
  const memory = new BigUint64Array(3);
  const read = call('nvmlDeviceGetMemoryInfo', 'void *device, void *memory');
  return {
    usedBytes: () => (read(device[0], memory) === 0 ? Number(memory[2]) : Number.NaN),
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

function load(): ReturnType<typeof koffi.load> | undefined {
  for (const name of libraries) {
    try {
      return koffi.load(name);
    } catch {
      // The next name, or there is none.
    }
  }
  return undefined;
}

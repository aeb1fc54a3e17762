/** @file koffi, by which Node reaches native libraries, loaded where it is first wanted: its own library may be missing. */

import { FailureError } from '../../../ir/index.js';
import { ownRequire } from '../../../own-files.js';

type Koffi = typeof import('koffi').default;

let loaded: Koffi | undefined;

/** The package koffi. @throws FailureError when it can't be loaded on this platform */
export function koffi(): Koffi {
  try {
    loaded ??= ownRequire()('koffi') as Koffi;
    return loaded;
  } catch (error) {
    const [reason = ''] = (error as Error).message.split('\n');
    throw new FailureError(
      `the package koffi, by which native libraries are reached, can't be loaded on ${process.platform}-${process.arch} (${reason}); install the packages again (rm -rf node_modules, then npm ci or npm install --ignore-scripts)`,
      { cause: error },
    );
  }
}

/** Ends the process although a thread of it waits in a native library, which no other way of ending does. */
export function exitAtOnce(code: number): void {
  koffi().load(null).func('_exit', 'void', ['int'])(code);
}

/**
 * Keeps a library in the process for good. It has threads and statics of its own, which don't outlive it, and a worker that
 * ends gives its handle back.
 */
export function keepMapped(path: string): void {
  // RTLD_NOW, and RTLD_NODELETE as each system has it; Windows has neither, there the handle must do.
  const flags = { linux: 0x2 | 0x1000, darwin: 0x2 | 0x80 }[process.platform as 'linux' | 'darwin'];
  if (flags === undefined) return;
  const open = koffi().load(null).func('dlopen', 'void *', ['const char *', 'int']);
  open(path, flags);
}

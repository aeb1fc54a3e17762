/** @file The image library sharp, loaded where the first image is read: its native part may be missing. */

import type { Sharp, SharpOptions } from 'sharp';
import { FailureError } from '../../ir/errors.js';
import { ownRequire } from '../../own-files.js';

type Library = typeof import('sharp').default;

let loaded: Library | undefined;

/** Loads the library. @throws FailureError when it can't be loaded on this platform */
export function imageLibrary(): Library {
  if (loaded) return loaded;
  try {
    loaded = ownRequire()('sharp') as Library;
  } catch (error) {
    const reason = (error as Error).message.split('\n').find((line) => line.trim() !== '') ?? '';
    throw new FailureError(
      `image files can't be read, since the package sharp can't be loaded on ${process.platform}-${process.arch} (${reason}); install the packages again with their optional ones (rm -rf node_modules, then npm ci --include=optional), or give data that is no image files`,
      { cause: error },
    );
  }
  // One image at a time is decoded by each data worker; threads and a cache of the library's own would come on top.
  loaded.concurrency(1);
  loaded.cache(false);
  return loaded;
}

/** An image of a file. @throws as `imageLibrary` */
export function sharp(path: string, options: SharpOptions): Sharp {
  return imageLibrary()(path, options);
}

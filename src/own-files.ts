/**
 * @file Where densec's own files are: threads, processes and packages are found from there. A bundler that makes one file of a
 * program leaves them behind in node_modules, so there they are looked for.
 */

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { FailureError } from './ir/errors.js';

/** The file that this is in; a CommonJS bundle has no `import.meta`. */
const thisFile: string = import.meta.url ?? pathToFileURL(__filename).href;

/** The compiled `src`, with a slash at its end. */
function compiled(): URL {
  // Tests run the sources, but threads and processes need JavaScript: they use what was built.
  if (thisFile.endsWith('/src/own-files.ts')) return new URL('../dist/src/', thisFile);
  if (thisFile.endsWith('/src/own-files.js')) return new URL('./', thisFile);
  try {
    return new URL('./', pathToFileURL(createRequire(thisFile).resolve('densec')));
  } catch (error) {
    throw new FailureError(
      `densec was bundled into ${thisFile}, and the files that its threads run are not beside it: keep densec in node_modules there, or leave it out of the bundle (esbuild --external:densec)`,
      { cause: error },
    );
  }
}

/** A compiled file of densec's, by its path from `src`. @throws FailureError in a bundle that lacks it */
export function ownFile(path: string): URL {
  return new URL(path, compiled());
}

/**
 * Finds and loads what densec depends on, as `require`.
 * @throws FailureError in a bundle that densec's files are not beside
 */
export function ownRequire(): NodeJS.Require {
  return createRequire(ownFile('index.js'));
}

/** @file The version of this package. */

import { createRequire } from 'node:module';

const packageFile = import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json';

/** As in package.json. */
export const version = (createRequire(import.meta.url)(packageFile) as { version: string }).version;

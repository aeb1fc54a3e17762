/** @file The version of this package. */

import { ownRequire } from './own-files.js';

/** As in package.json. */
export const version = (ownRequire()('../../package.json') as { version: string }).version;

/** @file Gives the compiled command its run bit, which the compiler doesn't: npx keeps the link it made to an earlier one. */

import { chmodSync } from 'node:fs';

chmodSync(new URL('../dist/cli/main.js', import.meta.url), 0o755);

/** @file Where PyTorch's fixtures are. */

import { fileURLToPath } from 'node:url';

/** A file of a fixture in test/fixtures/torch. */
export function fixturePath(fixture: string, file: string): string {
  return fileURLToPath(new URL(`../fixtures/torch/${fixture}/${file}`, import.meta.url));
}

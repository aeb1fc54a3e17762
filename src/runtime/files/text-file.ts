/** @file Text files that people write: UTF-8, or UTF-16 with its mark, never wrong letters without a word. */

import { readFile } from 'node:fs/promises';
import { FailureError } from '../../ir/errors.js';
import { fileFailure } from './atomic-file.js';

/**
 * A file's text, without a byte-order mark.
 * @throws FailureError when the file can't be read, or naming the line that is no UTF-8
 */
export async function readTextFile(path: string): Promise<string> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileFailure('read', path, error);
  });
  try {
    return new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FailureError(`${path}: ${wrongLine(bytes)} is not UTF-8; save the file as UTF-8`, { cause: error });
  }
}

/** Spreadsheets write "Unicode text" in UTF-16; the mark says in which order its bytes come. */
function encodingOf([first, second]: Uint8Array): string {
  if (first === 0xff && second === 0xfe) return 'utf-16le';
  return first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
}

/** Where the bytes stop being UTF-8. */
function wrongLine(bytes: Uint8Array): string {
  let begin = 0;
  for (let line = 1; begin < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, begin);
    const end = newline < 0 ? bytes.length : newline;
    const text = bytes.subarray(begin, end);
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(text);
    } catch {
      return `line ${line} ('${Buffer.from(text).toString('latin1').trim().slice(0, 40)}' in Latin-1)`;
    }
    begin = end + 1;
  }
  return 'the text';
}

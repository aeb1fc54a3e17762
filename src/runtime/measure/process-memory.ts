/** @file How far a process grows, as its operating system counts it. */

import { readFileSync, writeFileSync } from 'node:fs';

/** Bytes of this process by field of /proc/self/status: VmRSS now, VmHWM its high-water mark. */
function statusBytes(field: 'VmRSS' | 'VmHWM'): number {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'latin1'));
  if (!match) throw new Error(`/proc/self/status has no ${field}`);
  return Number(match[1]) * 1024;
}

/**
 * Starts to watch this process's size: resets the kernel's high-water mark (Linux: 5 into /proc/self/clear_refs).
 * @returns a function that gives the bytes by which the process has grown at most above its size now, or undefined
 * where the system keeps no such mark or doesn't let us reset it
 */
export function watchGrowth(): (() => number) | undefined {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
    const before = statusBytes('VmRSS');
    return () => Math.max(0, statusBytes('VmHWM') - before);
  } catch {
    return undefined;
  }
}

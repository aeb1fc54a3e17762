/** @file Which process this is, and whether another one still lives, told apart from one that got its number later. */

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';

export const processSchema = z.object({
  pid: z.number(),
  host: z.string(),
  /** What the number belongs to: a boot of a machine, and within it a container's own numbers. */
  space: z.string(),
  /** When it began, where the system tells: a number that is given again begins at another time. */
  started: z.string(),
});

/** A process, as told to others. */
export type ProcessIdentity = z.infer<typeof processSchema>;

/** The process that asks. */
export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, host: hostname(), space: space(), started: lifeOf(process.pid)?.started ?? '' };
}

/** Whether a process lives; unknown where its number means nothing here: on another machine, in another container. */
export function lives({ pid, space: theirs, started }: ProcessIdentity): 'yes' | 'no' | 'unknown' {
  if (theirs !== space()) return 'unknown';
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Another user's process may not be signalled, but it is there.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return 'no';
  }
  const life = lifeOf(pid);
  // One that was killed and whose parent doesn't ask keeps its number as a zombie, for good in some containers.
  if (life && (life.started !== started || life.state === 'Z' || life.state === 'X')) return 'no';
  return 'yes';
}

function space(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

/** State and time of beginning (in ticks since the boot), where Linux tells. */
function lifeOf(pid: number): { readonly state: string; readonly started: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, which may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, started] = [fields[0], fields[19]];
    return state !== undefined && started !== undefined ? { state, started } : undefined;
  } catch {
    return undefined;
  }
}

/** @file How much memory the machine, or the container that limits us, has left. */

import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { dirname, join } from 'node:path';

/** What is free, and who says so. */
export interface FreeMemory {
  readonly bytes: number;
  readonly limitedBy: 'machine' | 'container';
}

/**
 * Bytes that this process can still take without swapping or being killed. On Linux caches count as free, and every
 * control group from ours upwards as a limit.
 * @param root where the system's files are
 */
export function freeMemory(root = '/'): FreeMemory {
  const machine = availableOnMachine(root) ?? freemem();
  const container = Math.min(...groupLimits(root));
  return container < machine ? { bytes: container, limitedBy: 'container' } : { bytes: machine, limitedBy: 'machine' };
}

function availableOnMachine(root: string): number | undefined {
  const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(read(join(root, 'proc/meminfo')))?.[1];
  return kilobytes === undefined ? undefined : 1024 * Number(kilobytes);
}

/** What each control group with a limit has left: version 2's files, or version 1's. */
function groupLimits(root: string): number[] {
  return read(join(root, 'proc/self/cgroup'))
    .split('\n')
    .flatMap((line) => {
      const [id, controllers, path] = line.split(':');
      if (path === undefined) return [];
      if (id === '0' && controllers === '') return left(join(root, 'sys/fs/cgroup'), path, version2);
      if (controllers?.split(',').includes('memory')) return left(join(root, 'sys/fs/cgroup/memory'), path, version1);
      return [];
    });
}

interface GroupFiles {
  readonly limit: string;
  readonly usage: string;
  /** Key of memory.stat for pages that the kernel gives back when asked. */
  readonly reclaimable: string;
}

const version2: GroupFiles = { limit: 'memory.max', usage: 'memory.current', reclaimable: 'inactive_file' };
const version1: GroupFiles = {
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  reclaimable: 'total_inactive_file',
};

/** Bytes left in a group and in those above it. Inside a container a path may lead nowhere; the mount's root remains. */
function left(mount: string, path: string, files: GroupFiles): number[] {
  const found: number[] = [];
  for (let group = path; ; group = dirname(group)) {
    const folder = join(mount, group);
    const [limit, usage] = [files.limit, files.usage].map((name) => Number.parseInt(read(join(folder, name)), 10));
    if (limit !== undefined && usage !== undefined && limit >= 0 && usage >= 0) {
      const stat = read(join(folder, 'memory.stat'));
      const cache = Number(new RegExp(`^${files.reclaimable} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
      found.push(Math.max(0, limit - usage + cache));
    }
    if (group === '/' || group === '.' || group === '') return found;
  }
}

/** A file's text; nothing where it can't be read, as on other systems. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** @file How much memory is left, by the files of several kinds of systems. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freeMemory } from '../../../src/runtime/measure/free-memory.js';
import { temporaryFolder } from '../../helpers/cli.js';

const path = temporaryFolder();

/** A root folder with these files. */
function system(name: string, files: Readonly<Record<string, string>>): string {
  for (const [file, text] of Object.entries({
    'proc/meminfo': 'MemTotal: 9 kB\nMemAvailable:    8000 kB\n',
    ...files,
  })) {
    mkdirSync(dirname(path(name, file)), { recursive: true });
    writeFileSync(path(name, file), text);
  }
  return path(name);
}

const group2 = { 'proc/self/cgroup': '0::/a/b\n' };

describe('free memory', () => {
  it('is what the machine has available where no control group limits it', () => {
    const root = system('plain', { ...group2, 'sys/fs/cgroup/a/b/memory.max': 'max\n' });
    expect(freeMemory(root)).toEqual({ bytes: 8_192_000, limitedBy: 'machine' });
  });

  it('is what the tightest group from ours upwards has left, caches counted as free', () => {
    const root = system('nested', {
      ...group2,
      'sys/fs/cgroup/a/b/memory.max': '5000000\n',
      'sys/fs/cgroup/a/b/memory.current': '1000000\n',
      'sys/fs/cgroup/a/memory.max': '4000000\n',
      'sys/fs/cgroup/a/memory.current': '2500000\n',
      'sys/fs/cgroup/a/memory.stat': 'active_file 7\ninactive_file 500000\n',
    });
    expect(freeMemory(root)).toEqual({ bytes: 2_000_000, limitedBy: 'container' });
  });

  it('reads the root of the mount where a container’s path leads nowhere', () => {
    const root = system('container', {
      'proc/self/cgroup': '0::/../../elsewhere\n',
      'sys/fs/cgroup/memory.max': '3000000\n',
      'sys/fs/cgroup/memory.current': '1000000\n',
    });
    expect(freeMemory(root)).toEqual({ bytes: 2_000_000, limitedBy: 'container' });
  });

  it('knows the files of version 1', () => {
    const root = system('older', {
      'proc/self/cgroup': '5:cpu,memory:/job\n3:pids:/job\n',
      'sys/fs/cgroup/memory/job/memory.limit_in_bytes': '3000000\n',
      'sys/fs/cgroup/memory/job/memory.usage_in_bytes': '2000000\n',
      'sys/fs/cgroup/memory/job/memory.stat': 'inactive_file 1\ntotal_inactive_file 250000\n',
    });
    expect(freeMemory(root)).toEqual({ bytes: 1_250_000, limitedBy: 'container' });
  });

  it('is known on the machine that runs this', () => {
    expect(freeMemory().bytes).toBeGreaterThan(0);
  });
});

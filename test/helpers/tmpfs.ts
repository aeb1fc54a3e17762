/** @file A small disk of one's own, to fill it or make it read-only. */

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/** Why there can be no small disk here, or nothing. */
export const noSmallDisk: string | undefined =
  process.platform !== 'linux'
    ? 'only Linux has tmpfs'
    : process.getuid?.() !== 0
      ? 'mounting a tmpfs takes root'
      : mountFails();

/** Mounts an empty disk of so many bytes at a new folder; returns how to change and unmount it. */
export function smallDisk(folder: string, bytes: number): { makeReadOnly(): void; unmount(): void } {
  mkdirSync(folder);
  mount('-t', 'tmpfs', '-o', `size=${bytes}`, 'densec-test', folder);
  return {
    makeReadOnly: () => mount('-o', 'remount,ro', folder),
    unmount: () => {
      spawnSync('umount', [folder]);
    },
  };
}

function mount(...args: string[]): void {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mount ${args.join(' ')}: ${stderr}`);
}

/** Containers often may not mount, even as root. */
function mountFails(): string | undefined {
  const { status } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', '-o', 'size=65536', 'none', '/mnt']);
  return status === 0 ? undefined : 'this container may not mount';
}

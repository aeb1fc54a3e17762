/** @file placeholder until the cuda lane is merged */
import type { DeviceLibrary } from '../ort/own-operators.js';
export function openDeviceLibrary(_: { tf32: boolean; workspaceBytes: number }): DeviceLibrary {
  throw new Error('todo');
}

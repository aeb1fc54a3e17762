/** @file Nodes that run on the host though their session is on a device: which of them make a step slow, and refusing those. */

import { RequestError } from '../../ir/index.js';
import { type decodeModel, valueTypes } from '../../onnx/index.js';
import type { PlacedNode } from './model-session.js';

/** The nodes of a model that read floats of a batch. Asking for a shape reads none. */
export function batchReaders({ graph }: ReturnType<typeof decodeModel>): ReadonlySet<string> {
  const types = new Map([...valueTypes(graph?.valueInfo), ...valueTypes(graph?.input), ...valueTypes(graph?.output)]);
  const isOfBatch = (name: string): boolean => {
    const type = types.get(name);
    return type?.dtype === 'float32' && type.shape.some((dim) => typeof dim === 'string');
  };
  const readers = (graph?.node ?? []).filter(({ opType, input }) => opType !== 'Shape' && input?.some(isOfBatch));
  return new Set(readers.map(({ name }) => name ?? ''));
}

/** How many nodes an error names. */
const named = 3;

/**
 * Requires that no node which reads floats of a batch is on the host: they would be copied there and back in every run. Whole
 * numbers, such as labels and extents, are few. Nodes that the runtime has made itself are not judged.
 * @param readers the model's nodes that read floats of a batch
 * @throws RequestError naming the nodes
 */
export function refuseHostNodes(
  readers: ReadonlySet<string>,
  onHost: readonly PlacedNode[],
  { source, device }: { readonly source: string; readonly device: string },
): void {
  const found = onHost.filter(({ name }) => readers.has(name));
  if (found.length === 0) return;
  const some = found.slice(0, named).map(({ name, operator }) => `${operator} ${name}`);
  const rest = found.length > named ? ` and ${found.length - named} more` : '';
  throw new RequestError(
    `${source}: onnxruntime has no kernel on ${device} for ${some.join(', ')}${rest}, so the batch would be copied to the host and back in every step; build it with --target ${device}, or run it all the same with --allow-host-nodes`,
  );
}

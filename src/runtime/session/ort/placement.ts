/** @file Where the nodes of a loaded model run: what the runtime says after it has shared them out among its providers. */

import type { PlacedNode } from '../model-session.js';
import { listed, made, type OrtApi, type Pointer } from './api.js';

/** The entry of a session's options by which the runtime keeps that account. */
export const accountEntry = 'session.record_ep_graph_assignment_info';

/** The nodes that run on the host, of a session whose options have the entry above. */
export function nodesOnHost(api: OrtApi, session: Pointer): readonly PlacedNode[] {
  const parts = listed(api.Session_GetEpGraphAssignmentInfo, session);
  const onHost = parts.filter((part) => made(api.EpAssignedSubgraph_GetEpName, part) === 'CPUExecutionProvider');
  return onHost.flatMap((part) =>
    listed(api.EpAssignedSubgraph_GetNodes, part).map((node) => ({
      name: String(made(api.EpAssignedNode_GetName, node)),
      operator: String(made(api.EpAssignedNode_GetOperatorType, node)),
    })),
  );
}

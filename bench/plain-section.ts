/** @file Plain networks beside PyTorch, as a section of docs/performance.md. */

import type { PeersReport } from './compare-peers.js';
import { megabytes, table } from './markdown.js';

const head = [
  'network',
  '',
  'step ms',
  'of PyTorch',
  'growth MB',
  'of PyTorch',
  'live peak MB',
  'nodes',
  'loading ms',
] as const;

/** A sentence that says how it was measured, and a table with the rows of each report. */
export function plainSection(reports: readonly PeersReport[]): string {
  const [first] = reports;
  if (!first) return '';
  const { rounds, steps, threads, torch } = first;
  const said = `Measured by \`npm run bench:peers -- --plain --threads ${threads} --rounds ${rounds} --steps ${steps}\`, PyTorch ${torch}.`;
  return [said, '', ...table(head, reports.flatMap(rowsOf))].join('\n');
}

function rowsOf({ network, inputShape, batchSize, peers }: PeersReport): string[][] {
  const number = (value: number | null, digits = 0): string => (value === null ? '' : value.toFixed(digits));
  const bytes = (value: number | null): string => (value === null ? '' : megabytes(value));
  return peers.map(
    ({ name, stepMs, peakGrowthBytes, predictedLivePeakBytes, nodes, sessionMs, ratios, failed }, at) => {
      const of = ratios.find(({ to }) => to === 'PyTorch');
      return [
        at === 0 ? `${network}, ${batchSize} × ${inputShape.slice(1).join('×')}` : '',
        failed === undefined ? policyName(name) : `${policyName(name)} (failed)`,
        number(stepMs),
        number(of?.stepMs ?? null, 2),
        bytes(peakGrowthBytes),
        number(of?.peakGrowthBytes ?? null, 2),
        bytes(predictedLivePeakBytes),
        nodes === null ? '' : String(nodes),
        number(sessionMs),
      ];
    },
  );
}

/** A policy's name stands alone: `none` for `densec none`. */
function policyName(name: string): string {
  return name.startsWith('densec ') ? `\`${name.slice('densec '.length)}\`` : name;
}

/** @file What npm run bench:budgets has: a row for each plan of ours and each peer, and how it is written down. */

import { z } from 'zod';
import { FailureError } from '../src/ir/index.js';
import { medianOrNull } from '../src/runtime/measure/statistics.js';
import { provenOf } from '../src/runtime/report/index.js';
import { megabytes, table } from './markdown.js';

const amount = z.number().nullable();

const rowSchema = z.object({
  name: z.string(),
  /** Of ours; a peer has none of what follows up to the measurements. */
  budgetBytes: z.number().optional(),
  least: z.enum(['proven', 'found']).optional(),
  status: z.enum(['optimal', 'feasible', 'timeout']).optional(),
  /** Share of the modelled time that a better plan within the budget could save at most. */
  gap: z.number().optional(),
  /** How long it took to find the plan. */
  seconds: z.number().optional(),
  predictedLivePeakBytes: z.number().optional(),
  estimatedStepMs: z.number().optional(),
  nodes: z.number().optional(),
  /** What a run of this plan is forecast to grow by, its evaluation and both sessions included. */
  forecastBytes: z.number().optional(),
  /** Whether densec verify passes; absent where it wasn't asked. */
  verified: z.boolean().optional(),
  /** Of a peer that torch.compile compiled: the share of activations that it may keep. */
  activationBudget: z.number().optional(),
  /** One measurement a round. */
  rounds: z.array(z.object({ stepMs: z.number(), peakGrowthBytes: amount })),
  /** Why it did not run to the end. */
  failed: z.string().optional(),
});

const networkSchema = z.object({
  title: z.string(),
  batchSize: z.number(),
  threads: z.number(),
  /** Rounds that were asked for. */
  asked: z.number(),
  date: z.string(),
  machine: z.string(),
  /** Version of PyTorch; null where it was left out. */
  torch: z.string().nullable(),
  /** The table of costs. */
  costs: z.string(),
  rows: z.array(rowSchema),
});

/** A plan or a peer. */
export type BudgetRow = z.infer<typeof rowSchema>;

/** A network at a batch size. */
export type BudgetNetwork = z.infer<typeof networkSchema>;

const fileSchema = z.array(networkSchema);

/** The networks of a file that was written before. @throws FailureError when it is none */
export function parseNetworks(text: string, path: string): BudgetNetwork[] {
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new FailureError(`${path} is none that bench:budgets wrote (${(error as Error).message}); move it away`, {
      cause: error,
    });
  }
}

/** The networks with one of them replaced or added, by its title. */
export function withNetwork(networks: readonly BudgetNetwork[], network: BudgetNetwork): BudgetNetwork[] {
  const at = networks.findIndex(({ title }) => title === network.title);
  return at < 0 ? [...networks, network] : networks.map((each, index) => (index === at ? network : each));
}

/** Milliseconds of a step, the median over rounds; null where there is none, as after a failure. */
export function stepMsOf({ rounds, failed }: BudgetRow): number | null {
  return failed === undefined && rounds.length > 0 ? medianOrNull(rounds.map(({ stepMs }) => stepMs)) : null;
}

/** By how much the process grew, the median over rounds. */
export function growthOf({ rounds, failed }: BudgetRow): number | null {
  return failed === undefined && rounds.length > 0
    ? medianOrNull(rounds.map(({ peakGrowthBytes }) => peakGrowthBytes))
    : null;
}

/** Heads and cells of a network's table, for people and for Markdown. */
export function tableOf({ rows }: BudgetNetwork): { readonly head: string[]; readonly rows: string[][] } {
  const isMeasured = rows.some((row) => stepMsOf(row) !== null);
  const isVerified = rows.some(({ verified }) => verified !== undefined);
  const head = ['', 'live peak MB', 'modelled ms', 'proven', 'found in s', 'forecast MB'];
  const cells = rows.map((row) => {
    const step = stepMsOf(row);
    const { estimatedStepMs: modelled } = row;
    return [
      row.failed === undefined ? row.name : `${row.name} (failed)`,
      whole(row.predictedLivePeakBytes),
      modelled?.toFixed(1) ?? '',
      row.status === undefined ? '' : provenOf(provenFacts(row)),
      row.seconds?.toFixed(1) ?? '',
      whole(row.forecastBytes),
      ...(isVerified ? [row.verified === undefined ? '' : row.verified ? 'yes' : 'NO'] : []),
      ...(isMeasured
        ? [
            step?.toFixed(1) ?? '',
            step !== null && modelled !== undefined ? (modelled / step).toFixed(2) : '',
            whole(growthOf(row) ?? undefined),
          ]
        : []),
    ];
  });
  return {
    head: [
      ...head,
      ...(isVerified ? ['verified'] : []),
      ...(isMeasured ? ['step ms', 'modelled of it', 'growth MB'] : []),
    ],
    rows: cells,
  };
}

function provenFacts({ status, gap, least }: BudgetRow): Parameters<typeof provenOf>[0] {
  return { ...(status && { status }), ...(gap !== undefined && { gap }), ...(least && { least }) };
}

function whole(bytes: number | undefined): string {
  return bytes === undefined ? '' : megabytes(bytes);
}

/** The section of a page: a table a network. */
export function budgetSection(networks: readonly BudgetNetwork[]): string {
  return networks
    .map((network) => {
      const { title, threads, machine, torch, costs, date, asked } = network;
      const { head, rows } = tableOf(network);
      const peers = torch === null ? 'PyTorch was left out' : `PyTorch ${torch}`;
      const facts = `${title}: ${threads} ${threads === 1 ? 'thread' : 'threads'}, ${machine}, ${date.slice(0, 10)}, ${asked} rounds, ${peers}, costs: ${costs}.`;
      return [facts, '', ...table(head, rows)].join('\n');
    })
    .join('\n\n');
}

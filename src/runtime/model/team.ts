/** @file What the processes of a run do together in its loop: they share batches, add up results, agree to stop. */

import { createHash } from 'node:crypto';
import { elementCount, FailureError, type FloatTensor, type TensorData } from '../../ir/index.js';
import type { Bundle } from '../bundle/bundle.js';
import type { Batch } from '../data/batches.js';
import { type Deal, type DealtRows, dealtRows, rowsRead } from '../data/deal.js';
import { PeerFailure } from '../session/mpi/meeting.js';
import type { Processes } from '../session/mpi/processes.js';
import type { BatchResult, EvaluatedBatch, EvaluationModel, StepScalars, TrainingModel } from './model.js';

/** A batch's result over all processes: the mean loss and the errors of so many images. */
export interface SharedResult extends BatchResult {
  readonly images: number;
}

/** What a process tells the others of a batch. */
interface Told {
  readonly lossSum: number;
  readonly errors: number;
  readonly images: number;
  readonly stop: boolean;
}

/** One process's part in the loop of a run of several. */
export class Team {
  private stopped = false;
  private readonly waited: number[];
  /** Fewest images of a step that a process takes, if it takes any: batch norm takes its statistics of them. */
  private readonly least: number;
  private began: number | undefined;
  private before: readonly number[] | undefined;

  constructor(
    private readonly processes: Processes,
    bundle: Bundle,
    private readonly interrupted: () => boolean = () => false,
  ) {
    const { leastBatchSize, syncBatchNorm } = bundle.manifest;
    this.least = syncBatchNorm ? 1 : leastBatchSize;
    this.waited = Array.from({ length: processes.size }, () => 0);
  }

  /** Whether it is another process that writes. */
  get follows(): boolean {
    return this.processes.rank > 0;
  }

  get size(): number {
    return this.processes.size;
  }

  /** Whether all have agreed to stop. */
  get hasStopped(): boolean {
    return this.stopped;
  }

  /** Shares of the time since the first step, by process, that went by in sums over all: for most, waiting for the slowest. */
  get waits(): readonly number[] {
    const ms = performance.now() - (this.began ?? 0);
    return this.waited.map((each) => (this.began === undefined ? 0 : Math.min(1, each / ms)));
  }

  /** How the batches of a part of the data are dealt out. */
  dealFor(part: 'training' | 'evaluation'): Deal {
    const { rank, size } = this.processes;
    return { rank, size, least: part === 'training' ? this.least : 1 };
  }

  /** What this process reads of a whole batch. */
  rowsOf({ images, labels, targets }: Batch): Batch {
    const { first, count } = rowsRead(labels.data.length, this.dealFor('training'));
    return {
      images: rowsOfTensor(images, first, count),
      labels: { ...labels, shape: [count], data: labels.data.slice(first, first + count) },
      ...(targets && { targets: rowsOfTensor(targets, first, count) }),
    };
  }

  /** A step that all take together. @param images of the whole batch */
  async step(model: TrainingModel, batch: Batch, images: number, scalars: StepScalars): Promise<SharedResult> {
    this.began ??= performance.now();
    const rows = dealtRows(images, this.dealFor('training'));
    const share = { share: rows.count / images, first: rows.first, images };
    const step = (): Promise<BatchResult> => model.step(batch, { ...scalars, ...share });
    const own = await this.processes.watched(step).catch((error: unknown) => {
      throw this.processes.explain(error);
    });
    return this.together(own, rows, scalars.step);
  }

  /**
   * A batch that all evaluate together: each process's part with what came of it, those of others without images.
   * @param images of the whole batch
   */
  async evaluate(
    model: EvaluationModel,
    batch: Batch,
    images: number,
  ): Promise<readonly (readonly [Batch, EvaluatedBatch])[]> {
    const shares = this.waited.map((_, rank) => dealtRows(images, { ...this.dealFor('evaluation'), rank }));
    // Of a batch without a row for this process, what it reads tells the extents.
    const own = await model.evaluate(batch);
    const { labels, targets } = batch;
    const width = elementCount(own.logits.shape.slice(1));
    const targetWidth = targets ? elementCount(targets.shape.slice(1)) : 0;
    const rows = Math.max(...shares.map(({ count }) => count));
    const padded = (data: ArrayLike<number | bigint>, length: number): number[] =>
      Array.from({ length }, (_, at) => Number(data[at] ?? 0));
    const all = await this.processes.gather([
      ...[own.loss, own.errors, this.interrupted() ? 1 : 0],
      ...padded(labels.data, rows),
      ...padded(targets?.data ?? [], rows * targetWidth),
      ...padded(own.logits.data, rows * width),
    ]);
    if (all.some((each) => each[2] !== 0)) this.stopped = true;
    return all.flatMap((each, rank) => {
      const count = shares[rank]?.count ?? 0;
      if (count === 0) return [];
      const [loss = 0, errors = 0, _, ...rest] = each;
      const classes = rest.slice(0, count).map(BigInt);
      const values = rest.slice(rows, rows + count * targetWidth);
      const logits = rest.slice(rows * (1 + targetWidth), rows * (1 + targetWidth) + count * width);
      const part: Batch = {
        images: batch.images,
        labels: { ...labels, shape: [count], data: BigInt64Array.from(classes) },
        ...(targets && {
          targets: { ...targets, shape: [count, ...targets.shape.slice(1)], data: Float32Array.from(values) },
        }),
      };
      const shape = [count, ...own.logits.shape.slice(1)];
      return [[part, { loss, errors, logits: { dtype: 'float32', shape, data: Float32Array.from(logits) } }] as const];
    });
  }

  /** @throws FailureError naming those processes whose state isn't that of the first */
  async compare(state: ReadonlyMap<string, TensorData>, when: string): Promise<void> {
    const hashes = await this.processes.gather([hashOf(state)]);
    const different = hashes.flatMap(([hash], rank) => (hash === hashes[0]?.[0] ? [] : [rank]));
    if (different.length === 0) return;
    throw this.ofAll(
      new FailureError(
        `the state of process ${different.join(', ')} isn't that of process 0 ${when}: its sums over the processes differ; run all of them on machines of one kind, with one MPI and the same densec, and go on from the last checkpoint`,
      ),
    );
  }

  /** All come here before any goes on. */
  async meet(): Promise<void> {
    await this.processes.gather([]);
  }

  /** An error that every process has alike: the first one tells it. */
  ofAll(error: FailureError): FailureError {
    return this.follows ? new PeerFailure(error.message, true, error.exitCode) : error;
  }

  private async together(own: BatchResult, rows: DealtRows, step: number): Promise<SharedResult> {
    const images = rows.count;
    const told: Told = {
      lossSum: images > 0 ? own.loss * images : 0,
      errors: images > 0 ? own.errors : 0,
      images,
      stop: this.interrupted(),
    };
    const numbers = [told.lossSum, told.errors, told.images, told.stop ? 1 : 0, this.processes.waitedMs];
    const all = await this.processes.gather(numbers, step);
    const total = (index: number): number => all.reduce((sum, each) => sum + (each[index] ?? 0), 0);
    if (total(3) > 0) this.stopped = true;
    const waited = all.map((each) => each[4] ?? 0);
    const before = this.before ?? waited.map(() => 0);
    for (const [rank, ms] of waited.entries()) this.waited[rank] = (this.waited[rank] ?? 0) + ms - (before[rank] ?? 0);
    this.before = waited;
    // What else there is comes of sums over all, and is the same for all.
    return { ...own, loss: total(0) / total(2), errors: total(1), images: total(2) };
  }
}

/** Some rows of a tensor. */
function rowsOfTensor(tensor: FloatTensor, first: number, count: number): FloatTensor {
  const [, ...sample] = tensor.shape;
  const size = elementCount(sample);
  return { ...tensor, shape: [count, ...sample], data: tensor.data.slice(first * size, (first + count) * size) };
}

/** 52 bits of a hash of a state's tensors, as a number. */
function hashOf(state: ReadonlyMap<string, TensorData>): number {
  const hash = createHash('sha256');
  for (const name of [...state.keys()].sort()) {
    const { data } = state.get(name) as TensorData;
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return Number.parseInt(hash.digest('hex').slice(0, 13), 16);
}

/** @file What bench:gpu found, as Markdown and JSON that are written anew after every row. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../src/runtime/files/atomic-file.js';
import { type Device, deviceName } from '../src/runtime/session/devices.js';
import { megabytes, table } from './markdown.js';

/** A row of results: of a check, or of a measurement. */
export type GpuRow = CheckRow | StepsRow;

/** Whether numbers agree with a reference. */
export interface CheckRow {
  readonly kind: 'check';
  readonly passed: boolean;
  /** How far the numbers are from the reference, in words. */
  readonly detail: string;
}

/** Time and memory of a training step. */
export interface StepsRow {
  readonly kind: 'steps';
  readonly network: string;
  readonly batchSize: number;
  /** Median milliseconds a step. */
  readonly stepMs: number;
  /** Seconds until the first step was done, loading included. */
  readonly firstStepSeconds: number;
  /** Bytes that the allocator handed out at most. */
  readonly allocatorPeakBytes: number | null;
  /** Bytes in use on the card at most, contexts included, above idle. */
  readonly cardPeakBytes: number | null;
  /** Bytes alive at the peak by the plan; null for others' steps. */
  readonly planBytes: number | null;
  readonly nodes: number | null;
}

/** What can be done by name. */
export interface PlannedRow {
  readonly name: string;
  /** @throws DensecError when it can't be measured */
  measure(): Promise<GpuRow>;
}

/** The growing report. */
export class GpuReport {
  private readonly rows: ({ readonly name: string } & GpuRow)[] = [];
  private readonly missing: { readonly name: string; readonly reason: string }[] = [];

  private constructor(
    private readonly folder: string,
    private readonly device: Device,
  ) {}

  /** A report in a folder, which is made where it isn't there. */
  static async create(folder: string, device: Device): Promise<GpuReport> {
    await mkdir(folder, { recursive: true });
    return new GpuReport(folder, device);
  }

  /** Rows that failed or could not be measured. */
  get failures(): number {
    return this.missing.length + this.rows.filter((row) => row.kind === 'check' && !row.passed).length;
  }

  async add(name: string, row: GpuRow): Promise<void> {
    this.rows.push({ name, ...row });
    await this.write();
  }

  leaveOut(name: string, reason: string): void {
    this.missing.push({ name, reason });
  }

  /** Writes gpu.md and gpu.json. */
  async write(): Promise<void> {
    const { rows, missing } = this;
    await writeFileAtomic(join(this.folder, 'gpu.md'), this.markdown());
    const json = { device: deviceName(this.device), rows, leftOut: missing };
    await writeFileAtomic(join(this.folder, 'gpu.json'), `${JSON.stringify(json, undefined, 2)}\n`);
  }

  markdown(): string {
    const checks = this.rows.filter((row) => row.kind === 'check');
    const steps = this.rows.filter((row) => row.kind === 'steps');
    const lines = [
      `Measured on \`${deviceName(this.device)}\`.`,
      '',
      ...table(
        ['check', 'holds', 'departure'],
        checks.map(({ name, passed, detail }) => [name, passed ? 'yes' : 'NO', detail]),
      ),
      '',
      ...table(
        ['step', 'ms', 'of naive', 'of checkpointed', 'allocator MB', 'plan MB', 'card MB', 'first step s', 'nodes'],
        steps.map((row) => [
          row.name,
          row.stepMs.toFixed(1),
          this.ratio(row, 'naive'),
          this.ratio(row, 'checkpointed'),
          megabytesOrNone(row.allocatorPeakBytes),
          megabytesOrNone(row.planBytes),
          megabytesOrNone(row.cardPeakBytes),
          row.firstStepSeconds.toFixed(1),
          row.nodes === null ? '–' : String(row.nodes),
        ]),
      ),
      ...this.missing.map(({ name, reason }) => `\n${name} was left out: ${reason}`),
    ];
    return `${lines.join('\n')}\n`;
  }

  /** A row's time over that of PyTorch at the same network and batch. */
  private ratio({ network, batchSize, stepMs }: StepsRow, mode: string): string {
    const peer = this.rows.find(
      (row) =>
        row.kind === 'steps' &&
        row.name.startsWith(`PyTorch ${mode}`) &&
        row.network === network &&
        row.batchSize === batchSize,
    );
    return peer?.kind === 'steps' ? (stepMs / peer.stepMs).toFixed(2) : '–';
  }
}

function megabytesOrNone(bytes: number | null): string {
  return bytes === null ? '–' : megabytes(bytes);
}

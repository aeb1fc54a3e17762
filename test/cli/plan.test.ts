/** @file densec plan: pictures, pages and batch sizes that fit; its files, its figures and every kind of bad flag. */

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseHTML } from 'linkedom';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ModelError } from '../../src/runtime/measure/sweep-plans.js';
import { densec, temporaryFolder } from '../helpers/cli.js';
import { wellFormed } from '../helpers/markup.js';

const path = temporaryFolder();
const network = ['--block-config', '2,2', '--growth-rate', '4', '--image-size', '8'];

beforeAll(async () => {
  const result = await densec(['build', ...network, '--remat', 'efficient', '-o', path('bundle')]);
  expect(result.code, result.stderr).toBe(0);
});

async function plan(...flags: string[]): ReturnType<typeof densec> {
  return densec(['plan', path('bundle'), ...flags]);
}

const megabytes = (bytes: unknown): string => `${(Number(bytes) / 1e6).toFixed(1)} MB`;

describe('pictures', () => {
  it('are an SVG file and a page, with the figures of plan --json', async () => {
    const [svg, html] = [path('memory.svg'), path('memory.html')];
    const result = await plan('--batch-size', '512', '--svg', svg, '--html', html, '--json');
    expect(result.code, result.stderr).toBe(0);
    const planned = result.json() as {
      predictedLivePeakBytes: number;
      peakAt: string;
      estimatedStepMs: number;
      tensors: { name: string; bytes: number }[];
      timeline: { node: string; bytes: number }[];
    };
    expect(result.stderr).toContain(`wrote ${svg}`);
    expect(result.stderr).toContain(`wrote ${html}`);

    const picture = readFileSync(svg, 'utf8');
    const elements = wellFormed(picture);
    expect(elements[0]).toBe('svg');
    expect(elements.filter((name) => name === 'title').length).toBeGreaterThan(50);
    expect(/NaN|Infinity|undefined|<script/.exec(picture)?.[0]).toBeUndefined();
    const texts = [...parseHTML(picture).document.querySelectorAll('text')].map((text) => text.textContent);
    expect(texts).toContain(`peak ${megabytes(planned.predictedLivePeakBytes)} at ${planned.peakAt}`);
    for (const kind of ['state', 'kept', 'recomputed', 'gradients', 'workspace']) {
      expect(texts.filter((text) => text.startsWith(`${kind} `)).length, kind).toBe(1);
    }

    const page = readFileSync(html, 'utf8');
    const { document } = parseHTML(page);
    // One document without other files: nothing is loaded, and nothing but the script is left to run.
    expect(/src=|href=|url\(|@import/.exec(page)?.[0]).toBeUndefined();
    expect(/NaN|undefined/.exec(document.body.querySelector('main')?.innerHTML ?? 'undefined')?.[0]).toBeUndefined();
    for (const drawn of document.querySelectorAll('figure svg')) wellFormed(drawn.toString());
    expect(document.querySelectorAll('figure svg').length).toBe(2);
    expect(document.querySelector('.figures')?.textContent).toContain(megabytes(planned.predictedLivePeakBytes));
    const named = [...document.querySelectorAll('.tensors tbody tr')].map((row) => row.textContent);
    for (const [index, { name, bytes }] of planned.tensors.slice(0, 10).entries()) {
      expect(named[index]).toContain(name);
      expect(named[index]).toContain((bytes / 1e6).toFixed(1));
    }
  });

  it('name at the pointer what plan --json has there', async () => {
    const html = path('pointer.html');
    const result = await plan('--batch-size', '16', '--html', html, '--json');
    const { timeline, estimatedStepMs, predictedLivePeakBytes } = result.json() as {
      timeline: { node: string; bytes: number }[];
      estimatedStepMs: number;
      predictedLivePeakBytes: number;
    };
    const text = parseHTML(readFileSync(html, 'utf8')).document.getElementById('places')?.textContent ?? '';
    const data = JSON.parse(text) as {
      total: number;
      peak: number;
      texts: string[];
      places: [number, number, number, number, number, number, number, number, number, number[], unknown[]][];
    };
    expect(data.total).toBeCloseTo(estimatedStepMs, 2);
    let next = 0;
    for (const [, , from, to, at, , name, , , bytes] of data.places) {
      expect(from).toBe(next);
      next = to;
      const slice = timeline.slice(from, to).map((node) => node.bytes);
      expect(bytes.reduce((sum, each) => sum + each, 0)).toBe(Math.max(...slice));
      expect([data.texts[name], timeline[at]?.bytes]).toEqual([timeline[at]?.node, Math.max(...slice)]);
    }
    expect(next).toBe(timeline.length);
    expect(data.places[data.peak]?.[9].reduce((sum, each) => sum + each, 0)).toBe(predictedLivePeakBytes);
  });

  it('replace a file only if told, and appear whole', async () => {
    const file = path('there.svg');
    writeFileSync(file, 'mine');
    const refused = await plan('--batch-size', '4', '--svg', file);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/there\.svg exists already; .* --force/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
    const forced = await plan('--batch-size', '4', '--svg', file, '--force');
    expect(forced.code, forced.stderr).toBe(0);
    expect(readFileSync(file, 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);
    expect(readdirSync(path()).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('are the same for the same plan', async () => {
    for (const name of ['one.html', 'two.html']) await plan('--batch-size', '8', '--html', path(name));
    expect(readFileSync(path('two.html'), 'utf8')).toBe(readFileSync(path('one.html'), 'utf8'));
  });
});

interface Fitting {
  status?: 'proven' | 'found';
  remat: string;
  inBundle: boolean;
  live: { batchSize: number; bytes: number };
  process: { batchSize: number; bytes: number };
}

describe('--max-batch', () => {
  it('is the largest by the peaks of each policy, to the image', async () => {
    const result = await plan('--max-batch', '--memory', '100MB', '--json');
    expect(result.code, result.stderr).toBe(0);
    const { memoryBytes, maxBatch } = result.json() as { memoryBytes: number; maxBatch: Fitting[] };
    expect(memoryBytes).toBe(1e8);
    expect(maxBatch.map(({ remat, inBundle }) => [remat, inBundle])).toEqual([
      ['none', false],
      ['efficient', true],
      ['max', false],
      ['budget', false],
    ]);
    for (const { process, live } of maxBatch) {
      expect(live.batchSize).toBeGreaterThan(0);
      expect(process.batchSize).toBeLessThan(live.batchSize);
      expect(live.bytes).toBeLessThanOrEqual(1e8);
    }
    const own = maxBatch[1]?.live.batchSize ?? 0;
    const peakOf = async (batchSize: number): Promise<number> =>
      Number((await plan('--batch-size', String(batchSize), '--json')).json().predictedLivePeakBytes);
    expect(await peakOf(own)).toBe(maxBatch[1]?.live.bytes);
    expect(await peakOf(own + 1)).toBeGreaterThan(1e8);

    // No policy takes larger batches than the plan that is looked for, and that is one that a budget gives.
    const any = maxBatch[3];
    expect(['proven', 'found']).toContain(any?.status);
    for (const { live } of maxBatch) expect(any?.live.batchSize).toBeGreaterThanOrEqual(live.batchSize);
    const within = ['--memory-budget', '100MB', '--batch-size', String(any?.live.batchSize)];
    const built = await densec(['build', ...network, ...within, '-o', path('any'), '--json']);
    expect(built.code, built.stderr).toBe(0);
    expect(built.json().predictedLivePeakBytes).toBeLessThanOrEqual(1e8);
  }, 240_000);

  it('is a table for people, beside a plan where both are asked', async () => {
    const table = await plan('--max-batch', '--memory', '400MiB', '--budget-seconds', '4');
    expect(table.stdout).toMatch(/fits into 419\.4 MB.*by the process.*by live bytes/);
    expect(table.stdout).toMatch(/efficient \(this bundle\)/);
    expect(table.stdout).toMatch(/any plan \((proven|found)\)/);
    const both = (
      await plan('--batch-size', '4', '--max-batch', '--memory', '419430400', '--budget-seconds', '4', '--json')
    ).json();
    expect(both).toMatchObject({ batchSize: 4, peakAt: expect.any(String), memoryBytes: 419430400 });
  }, 240_000);

  it('says the least where nothing fits', async () => {
    const result = await plan('--max-batch', '--memory', '1kB');
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/no batch fits into 0\.0 MB: the least is \d+\.\d MB alive at once/);
  });
});

interface Swept {
  least?: string;
  remat: string;
  inBundle: boolean;
  budgetBytes?: number;
  status?: string;
  gap?: number;
  predictedLivePeakBytes?: number;
  estimatedStepMs?: number;
  measured?: { stepMs: { median: number }; peakGrowthBytes: number | null };
}

describe('--sweep', () => {
  it('has the policies and budgets between the least and none, measured, in JSON and drawn', async () => {
    const [svg, html] = [path('sweep.svg'), path('sweep.html')];
    const sweeping = ['--sweep', '--budgets', '3', '--budget-seconds', '4', '--measure', '--threads', '1'];
    const result = await plan('--batch-size', '64', ...sweeping, '--svg', svg, '--html', html, '--json');
    expect(result.code, result.stderr).toBe(0);
    const { sweep, predictedLivePeakBytes } = result.json() as { sweep: Swept[]; predictedLivePeakBytes: number };
    expect(sweep.map(({ remat }) => remat)).toEqual(['none', 'efficient', 'max', 'budget', 'budget', 'budget']);
    expect(sweep.map(({ inBundle }) => inBundle)).toEqual([false, true, false, false, false, false]);
    expect(sweep[1]?.predictedLivePeakBytes).toBe(predictedLivePeakBytes);
    expect(sweep.map(({ least }) => least)).toEqual([
      ...[undefined, undefined, undefined],
      ...[expect.stringMatching(/^(proven|found)$/), undefined, undefined],
    ]);
    expect(sweep[5]?.budgetBytes).toBe(sweep[0]?.predictedLivePeakBytes);
    for (const { remat, status, budgetBytes, gap, ...found } of sweep) {
      if (remat !== 'budget') continue;
      expect(['optimal', 'feasible', 'timeout']).toContain(status);
      if (status === 'timeout') continue;
      expect(found.predictedLivePeakBytes).toBeLessThanOrEqual(budgetBytes ?? 0);
      expect(gap).toBeGreaterThanOrEqual(0);
    }
    // To keep everything fits into what it takes, and no plan costs less.
    expect(sweep[5]?.estimatedStepMs).toBeLessThanOrEqual((sweep[0]?.estimatedStepMs ?? 0) * (1 + 1e-6));
    const planned = sweep.filter((each) => each.predictedLivePeakBytes !== undefined);
    for (const { measured } of planned) expect(measured?.stepMs.median).toBeGreaterThan(0);
    const apart = planned.map((each) =>
      Math.abs((each.estimatedStepMs ?? 0) / (each.measured?.stepMs.median ?? 0) - 1),
    );
    const { meanError, largestError } = (result.json() as { modelError: ModelError }).modelError;
    expect(meanError).toBeCloseTo(apart.reduce((sum, each) => sum + each, 0) / apart.length);
    expect(largestError).toBeCloseTo(Math.max(...apart));

    const texts = [...parseHTML(readFileSync(svg, 'utf8')).document.querySelectorAll('text')].map(
      (each) => each.textContent,
    );
    expect(wellFormed(readFileSync(svg, 'utf8'))[0]).toBe('svg');
    for (const name of ['none', 'efficient', 'max', 'policies', 'budgets', 'measured']) expect(texts).toContain(name);
    const { document } = parseHTML(readFileSync(html, 'utf8'));
    for (const drawn of document.querySelectorAll('figure svg')) wellFormed(drawn.toString());
    const rows = [...(document.querySelector('table')?.querySelectorAll('tbody tr') ?? [])].map(
      (row) => row.textContent,
    );
    expect(rows.length).toBe(6);
    for (const [index, { predictedLivePeakBytes: bytes }] of planned.slice(0, 3).entries()) {
      expect(rows[index]).toContain(((bytes ?? 0) / 1e6).toFixed(1));
    }
  }, 180_000);
});

describe('bad flags', () => {
  it.each([
    [[], /--batch-size N/],
    [['--svg', path('x.svg')], /--batch-size N/],
    [['--batch-size', '0'], /at least 1/],
    [['--max-batch'], /--memory 8GB/],
    [['--max-batch', '--memory', '8GB', '--html', path('x.html')], /--batch-size N/],
    [['--max-batch', '--memory', '8 apples'], /400MB, 0\.4GB or 400MiB/],
    [['--max-batch', '--memory', '-1GB'], /400MB, 0\.4GB or 400MiB/],
    [['--batch-size', '4', '--memory', '8GB'], /--max-batch/],
    [['--sweep'], /--batch-size N/],
    [['--batch-size', '4', '--measure'], /--sweep/],
    [['--batch-size', '4', '--budgets', '4'], /--sweep/],
    [['--batch-size', '4', '--html', path('x'), '--svg', path('x')], /both name/],
  ])('%j are refused', async (flags, message) => {
    const result = await plan(...flags);
    expect(result.code, result.stderr).toBe(2);
    expect(result.stderr).toMatch(message);
    expect(existsSync(path('x.svg'))).toBe(false);
  });

  it('say what is no bundle, and where nothing can be written', async () => {
    const none = await densec(['plan', path(), '--batch-size', '4', '--svg', path('x.svg')]);
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(/is not a bundle: .* densec build/);
    const nowhere = await plan('--batch-size', '4', '--html', path('no', 'x.html'));
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toMatch(/there is no folder/);
  });

  it('say that a policy of one’s own without its choice can’t be drawn', async () => {
    const result = await densec(['build', ...network, '-o', path('own')]);
    expect(result.code, result.stderr).toBe(0);
    const manifest = JSON.parse(readFileSync(path('own', 'manifest.json'), 'utf8')) as object;
    writeFileSync(path('own', 'manifest.json'), JSON.stringify({ ...manifest, remat: 'custom' }));
    const drawn = await densec(['plan', path('own'), '--batch-size', '4', '--svg', path('x.svg')]);
    expect(drawn.code, drawn.stderr).toBe(2);
    expect(drawn.stderr).toMatch(/nothing to draw\. .*planMemory/);
    const told = await densec(['plan', path('own'), '--batch-size', '4', '--json']);
    expect(told.json()).toMatchObject({ batchSize: 4, timeline: null, predictedLivePeakBytes: expect.any(Number) });
  });
});

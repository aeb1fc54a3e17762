/** @file The pictures of a run: the SVG file of its curves and the HTML report. */

import fc from 'fast-check';
import { parseHTML } from 'linkedom';
import { describe, expect, test } from 'vitest';
import type { MemoryForecast } from '../../../src/runtime/measure/forecast.js';
import type { EpochRecord, History } from '../../../src/runtime/report/history.js';
import { renderCurves, renderReport } from '../../../src/runtime/report/index.js';
import { wellFormed } from '../../helpers/markup.js';

const colors = { train: '#0072b2', validation: '#d55e00', test: '#007a5a' };

function epochs(count: number, change: Partial<EpochRecord> = {}): EpochRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    epoch: index + 1,
    learningRate: 0.1,
    trainLoss: 2 / (index + 1),
    trainError: 0.5 / (index + 1),
    validLoss: 2.5 / (index + 1),
    validError: 0.6 / (index + 1),
    seconds: 12.34,
    ...change,
  }));
}

const withoutValidation = { validLoss: undefined, validError: undefined };

/** How many lines (of more than one point) and dots have the colour. */
function drawn(svg: string, color: string): { lines: number; dots: number } {
  const { document } = parseHTML(`<!doctype html><body>${svg}</body>`);
  const count = (label: string, mark: string): number =>
    [...document.querySelectorAll(`g[aria-label="${label}"]`)]
      .filter((group) => [group.getAttribute('stroke'), group.getAttribute('fill')].includes(color))
      .reduce((sum, group) => sum + group.querySelectorAll(mark).length, 0);
  return { lines: count('line', 'path[d*="L"]'), dots: count('dot', 'circle') };
}

describe('curves', () => {
  test.each<[string, History]>([
    ['no epoch', { epochs: [] }],
    ['a test without epochs', { epochs: [], test: { loss: 1, error: 0.5 } }],
    ['1 epoch', { epochs: epochs(1) }],
    ['300 epochs and a test', { epochs: epochs(300), test: { loss: 0.3, error: 0.0524 } }],
    ['no validation', { epochs: epochs(3, withoutValidation) }],
    ['nothing finite', { epochs: epochs(3, { ...withoutValidation, trainLoss: Number.NaN, trainError: Infinity }) }],
    ['equal values', { epochs: epochs(3, { trainLoss: 0, validLoss: 0, trainError: 1, validError: 1 }) }],
  ])('of %s are a standalone SVG file, the same each time', (_, history) => {
    const svg = renderCurves(history);
    expect(wellFormed(svg)[0]).toBe('svg');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
    expect(svg).toMatch(/ font-family="[^"]+".*?<rect [^>]*fill="#ffffff"/);
    expect(svg).toContain('>Loss</text>');
    expect(svg).toContain('>Error (%)</text>');
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(renderCurves(structuredClone(history))).toBe(svg);
  });

  test('of any figures are well-formed', () => {
    const figure = fc.float();
    const record = fc.record({
      learningRate: figure,
      trainLoss: figure,
      trainError: figure,
      validLoss: fc.option(figure, { nil: undefined }),
      validError: fc.option(figure, { nil: undefined }),
      seconds: figure,
    });
    const tested = fc.option(fc.record({ loss: figure, error: figure }), { nil: undefined });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 60 }), tested, (records, test) => {
        const svg = renderCurves({ epochs: records.map((one, index) => ({ epoch: index + 1, ...one })), test });
        wellFormed(svg);
        expect(svg).not.toMatch(/NaN|Infinity|undefined/);
      }),
      { numRuns: 50 },
    );
  });

  test('have a line for each series in both panels, and a legend', () => {
    const svg = renderCurves({ epochs: epochs(300), test: { loss: 0.3, error: 0.0524 } });
    expect(drawn(svg, colors.train)).toEqual({ lines: 2, dots: 0 });
    expect(drawn(svg, colors.validation)).toEqual({ lines: 2, dots: 0 });
    expect(svg.match(/>(train|validation|test 5\.24 %|epoch)<\/text>/g)).toHaveLength(2 + 2 + 1 + 2);
    expect(svg).toMatch(new RegExp(`<g [^>]*stroke="${colors.test}"[^>]*aria-label="rule"`));
  });

  test('of one epoch are dots', () => {
    const svg = renderCurves({ epochs: epochs(1) });
    expect(drawn(svg, colors.train)).toEqual({ lines: 0, dots: 2 });
    expect(drawn(svg, colors.validation)).toEqual({ lines: 0, dots: 2 });
  });

  test('leave out validation and test where there is none', () => {
    const svg = renderCurves({ epochs: epochs(50, withoutValidation) });
    expect(drawn(svg, colors.train)).toEqual({ lines: 2, dots: 0 });
    expect(svg).not.toMatch(new RegExp(`validation|test|${colors.validation}|${colors.test}`));
  });

  test('skip what is not finite, and mark a point alone between gaps', () => {
    const records = epochs(50).map((one) => ([20, 22].includes(one.epoch) ? { ...one, trainLoss: Number.NaN } : one));
    expect(drawn(renderCurves({ epochs: records }), colors.train)).toEqual({ lines: 2, dots: 1 });
  });

  test('say what is missing', () => {
    expect(renderCurves({ epochs: [] }).match(/no epoch yet/g)).toHaveLength(2);
    const diverged = epochs(2, { trainLoss: Number.NaN, validLoss: Infinity });
    expect(renderCurves({ epochs: diverged }).match(/no finite value/g)).toHaveLength(1);
  });
});

describe('report', () => {
  const configuration = [['depth', '100'] as const];
  const forecast: MemoryForecast = {
    batchSize: 64,
    livePeakBytes: 2e6,
    processBytes: 3.5e6,
    dataBytes: 4e5,
    data: { imageBytes: 1e3, batches: 4, fixedBytes: 144e3, loadedBytes: 0 },
    peakAt: 'conv_7',
    peakPosition: 0.5,
    backwardPosition: 0.4,
    timeline: [1e6, 2e6, 5e5],
  };

  test('shows key figures, three curves, the memory, epochs and configuration', () => {
    const history = { epochs: epochs(300), test: { loss: 0.3, error: 0.0524 } };
    const content = { title: 'C10+', epochs: 300, history, configuration, forecast };
    const html = renderReport(content);
    const { document } = parseHTML(html);
    const text = (selector: string): string[] => [...document.querySelectorAll(selector)].map((one) => one.textContent);
    expect(text('h1')).toEqual(['C10+']);
    const figures = ['300 of 300', '0.0067', '0.17 %', '0.20 % (epoch 300)', '5.24 %', '1 h 01 min'];
    expect(text('.figures dd')).toEqual(figures);
    expect(text('.caption').join()).toMatch(/at most 2\.0 MB .* at the node conv_7\. .* about 3\.5 MB/);
    expect(text('.configuration tr > *')).toEqual(['depth', '100']);
    expect(text('details tbody tr')).toHaveLength(300);
    expect(text('main > .scroll tbody td:first-child')).toEqual(
      Array.from({ length: 20 }, (_, index) => `${281 + index}`),
    );
    const pictures = [...document.querySelectorAll('figure')].map((figure) => figure.innerHTML);
    expect(pictures).toHaveLength(4);
    for (const svg of pictures) wellFormed(svg);
    expect(html).not.toMatch(/<script|<link|\bsrc=|\bhref=|url\(|@import/);
    expect(renderReport(content)).toBe(html);
  });

  test('names the first epoch of the least validation error', () => {
    const errors = [Number.NaN, 0.4, 0.25, 0.25, undefined];
    const records = epochs(5).map((one, index) => ({ ...one, validError: errors[index] }));
    const html = renderReport({ title: '', epochs: 5, history: { epochs: records }, configuration });
    expect(html).toContain('25.00 % (epoch 3)');
    expect(html).toContain('<td>NaN</td>');
  });

  test('shows a short run whole, and a dash for what is absent', () => {
    const history = { epochs: epochs(20, withoutValidation) };
    const html = renderReport({ title: '', epochs: 40, history, configuration });
    const { document } = parseHTML(html);
    expect(document.querySelectorAll('tbody tr')).toHaveLength(20 + 1);
    expect(document.querySelector('details')).toBeNull();
    expect(html).toContain('<dd>20 of 40</dd>');
    expect(html).toContain('<dt>Best validation error</dt><dd>–</dd>');
    expect(html).toContain(
      '<tr><td>1</td><td>2.0000</td><td>50.00 %</td><td>–</td><td>–</td><td>0.1</td><td>12.3 s</td></tr>',
    );
  });

  test('of no epoch says so', () => {
    const html = renderReport({ title: 'new', epochs: 2, history: { epochs: [] }, configuration: [] });
    expect(html.match(/no epoch yet/gi)).toHaveLength(4);
    expect(html).toContain('<dd>0 of 2</dd>');
    expect(html).not.toContain('<h2>Memory</h2>');
  });

  test('escapes all text', () => {
    const evil = `<b a='1' b="2">&amp;</b>`;
    const plan = { ...forecast, peakAt: evil };
    const content = { title: evil, epochs: 1, history: { epochs: [] }, forecast: plan };
    const html = renderReport({ ...content, configuration: [[evil, evil]] });
    expect(html).not.toContain('<b ');
    expect(html.match(/&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;amp;&lt;\/b&gt;/g)).toHaveLength(5);
  });
});

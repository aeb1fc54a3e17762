/** @file The page about a step's memory: picture, what makes the peak, and what is where the pointer is. */

import {
  aliveAt,
  type MemoryKind,
  memoryKinds,
  type StepBuffer,
  type StepMemory,
} from '../../../memory/step-memory.js';
import type { SweptPlan } from '../../measure/sweep-plans.js';
import { pageHead } from '../page-head.js';
import { style } from '../style.js';
import { escapeText, formatMegabytes } from '../text.js';
import { partsOf } from './lanes.js';
import { margin, renderStepMemory } from './picture.js';
import { hoverData, hoverScript } from './script.js';
import { slicesOf, startsOf } from './slices.js';
import { kindWords, pageStyle } from './style.js';
import { nameOf, provenOf, renderSweep, sweepTitle } from './sweep-picture.js';

/** What is planned. */
export interface Planned {
  /** The network's name. */
  readonly name: string;
  /** What is recomputed: a policy's name. */
  readonly remat: string;
  readonly target: string;
  /** Plans to compare it with. */
  readonly swept?: readonly SweptPlan[] | undefined;
}

/** Pixels of the picture where there is room, and on a phone. */
const widths = { wide: 1080, narrow: 380 } as const;
/** Slices that can be pointed at. */
const places = 500;
const listedTensors = 24;

/** The picture of a step's memory as a file of its own. */
export function renderPlanPicture(memory: StepMemory, planned: Planned): string {
  const title = `${pictureTitle(memory)}: ${planned.name}, ${inWords(planned)}`;
  return `${renderStepMemory(memory, { title, width: widths.wide, alone: true }).svg}\n`;
}

/** A page that needs neither network nor other files. The same content gives the same bytes. */
export function renderPlanPage(memory: StepMemory, planned: Planned): string {
  const figures = Object.entries(widths).map(([name, width]) => {
    const { svg, top, bottom } = renderStepMemory(memory, { title: pictureTitle(memory), width, alone: false });
    const data = `data-left="${margin.left}" data-right="${margin.right}" data-top="${top}" data-bottom="${bottom}"`;
    return `<figure class="memory step ${name}" ${data}>${svg}</figure>`;
  });
  return `${pageHead(`Memory of a training step: ${planned.name}`, style, pageStyle)}
${keyFigures(memory, planned)}
${sweepSection(memory, planned)}<h2>Over the step</h2>
${figures.join('\n')}
<section id="explore" aria-label="What is alive at a place of the step" hidden>
<p class="control"><label for="place">Place in the step</label> <input id="place" type="range" min="0" value="0"> <button id="to-peak" type="button">to the peak</button></p>
<div id="reading"></div>
</section>
${explanation()}
<h2>What makes the peak</h2>
<div class="tables">
${kindTable(memory)}
${partTable(memory)}
</div>
<h3>The largest tensors</h3>
${tensorTable(memory)}
</main>
<script type="application/json" id="places">${hoverData(memory, slicesOf(memory, places))}</script>
<script>
${hoverScript}
</script>
</body>
</html>
`;
}

function pictureTitle({ batchSize }: StepMemory): string {
  return `Memory alive during a step of ${batchSize} images (MB)`;
}

function inWords({ remat, target }: Planned): string {
  return `${remat === 'none' ? 'nothing recomputed' : `recomputed: ${remat}`}, for ${target}`;
}

function keyFigures(memory: StepMemory, planned: Planned): string {
  const node = memory.nodes[memory.peakAt];
  const total = startsOf(memory.nodes)[memory.nodes.length] as number;
  const figures = [
    ['Live peak', formatMegabytes(memory.peakBytes)],
    ['Batch size', String(memory.batchSize)],
    ['A step takes about', `${total.toFixed(total < 100 ? 1 : 0)} ms`],
    ['Plan', inWords(planned)],
    ['Peak reached at', `${node?.name} (${node?.phase}, node ${memory.peakAt + 1} of ${memory.nodes.length})`],
  ];
  const entries = figures.map(
    ([name = '', value = '']) => `<div><dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd></div>`,
  );
  return `<dl class="figures">${entries.join('')}</dl>`;
}

/** Other plans of the network; nothing where there are none. */
function sweepSection({ batchSize }: StepMemory, { name, swept }: Planned): string {
  if (!swept) return '';
  const figures = Object.entries(widths).map(
    ([size, width]) =>
      `<figure class="memory sweep ${size}">${renderSweep(swept, { title: sweepTitle(name, batchSize), width, alone: false })}</figure>`,
  );
  const isMeasured = swept.some(({ measured }) => measured);
  const figure = (value: number | null | undefined, unit = 1): string =>
    `<td>${value === undefined || value === null ? '–' : (value / unit).toFixed(1)}</td>`;
  const rows = swept.map((plan) => {
    const { predictedLivePeakBytes, estimatedStepMs, recomputed, measured } = plan;
    const cells = [
      figure(predictedLivePeakBytes, 1e6),
      figure(estimatedStepMs),
      `<td>${recomputed ?? '–'}</td>`,
      `<td>${escapeText(provenOf(plan))}</td>`,
      ...(isMeasured ? [figure(measured?.stepMs.median), figure(measured?.peakGrowthBytes, 1e6)] : []),
    ];
    return `<tr><th scope="row">${escapeText(nameOf(plan))}</th>${cells.join('')}</tr>`;
  });
  const head = [
    'Plan',
    'Live peak (MB)',
    'Modelled (ms)',
    'Recomputed',
    'Proven',
    ...(isMeasured ? ['Measured (ms)', 'Growth (MB)'] : []),
  ];
  return `<h2>Time against memory</h2>\n${figures.join('\n')}\n${table('parts', head, rows)}\n`;
}

function explanation(): string {
  const kinds = memoryKinds.map(
    (kind) => `<div><dt>${swatch(kind)}${kindWords[kind][0]}</dt><dd>${escapeText(kindWords[kind][1])}</dd></div>`,
  );
  return `<dl class="kinds">${kinds.join('')}</dl>
<p class="caption">Live bytes are those of tensors that are computed and still wanted, in the order in which the runtime executes the step; where many nodes share a pixel, the most of them is drawn. Time is modelled by the target's table of costs. The lanes say when nodes of which phase run, darker where they take all of the time. The process takes more than is alive: the runtime's arena keeps what it once took.</p>`;
}

function swatch(kind: MemoryKind): string {
  return `<i class="${kind}"></i>`;
}

function kindTable(memory: StepMemory): string {
  const alive = aliveAt(memory, memory.peakAt);
  const rows = memoryKinds.map((kind) => {
    const own = alive.filter((buffer) => buffer.kind === kind);
    return `<tr><th scope="row">${swatch(kind)}${kindWords[kind][0]}</th><td>${own.length}</td>${bytesCells(total(own), memory.peakBytes)}</tr>`;
  });
  const sum = `<tr><th scope="row">all</th><td>${alive.length}</td>${bytesCells(memory.peakBytes, memory.peakBytes)}</tr>`;
  return table('parts', ['Alive at the peak', 'Tensors', 'MB', 'Share'], [...rows, sum]);
}

/** Bytes at the peak by part of the network; nothing where it has one part only. */
function partTable(memory: StepMemory): string {
  const names = partsOf(memory.nodes);
  const partOf = new Map(memory.nodes.map(({ layer }, position) => [layer, names[position] ?? '']));
  const alive = aliveAt(memory, memory.peakAt);
  const parts = new Map<string, StepBuffer[]>();
  for (const buffer of alive) {
    const part = buffer.kind === 'state' ? 'state' : (partOf.get(buffer.layer) ?? '') || 'no layer of its own';
    parts.set(part, [...(parts.get(part) ?? []), buffer]);
  }
  if (parts.size < 2) return '';
  const rows = [...parts]
    .map(([part, own]) => [part, own, total(own)] as const)
    .sort(([, , a], [, , b]) => b - a)
    .map(
      ([part, own, bytes]) =>
        `<tr><th scope="row">${escapeText(part)}</th><td>${own.length}</td>${bytesCells(bytes, memory.peakBytes)}</tr>`,
    );
  return table('parts', ['Part of the network', 'Tensors', 'MB', 'Share'], rows);
}

function tensorTable(memory: StepMemory): string {
  const alive = aliveAt(memory, memory.peakAt);
  const listed = alive.slice(0, listedTensors);
  const rest = alive.slice(listedTensors);
  const starts = startsOf(memory.nodes);
  const time = (position: number): string => (starts[position] as number).toFixed(1);
  const rows = listed.map(({ name, layer, kind, bytes, from, to }) => {
    const maker = name.includes(layer) ? '' : ` <small>of ${escapeText(layer)}</small>`;
    return `<tr><th scope="row">${swatch(kind)}${escapeText(name)}${maker}</th><td>${kindWords[kind][0]}</td>${bytesCells(bytes, memory.peakBytes)}<td>${time(from)} – ${time(to + 1)}</td></tr>`;
  });
  const others =
    rest.length > 0
      ? [
          `<tr><th scope="row">${rest.length} others</th><td></td>${bytesCells(total(rest), memory.peakBytes)}<td></td></tr>`,
        ]
      : [];
  return table('tensors', ['Tensor', 'Is', 'MB', 'Share', 'Alive (ms)'], [...rows, ...others]);
}

function table(name: string, columns: readonly string[], rows: readonly string[]): string {
  const head = columns.map((column) => `<th scope="col">${column}</th>`).join('');
  return `<div class="scroll"><table class="${name}">\n<thead><tr>${head}</tr></thead>\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table></div>`;
}

function bytesCells(bytes: number, of: number): string {
  return `<td>${(bytes / 1e6).toFixed(1)}</td><td>${((100 * bytes) / of).toFixed(1)} %</td>`;
}

function total(buffers: readonly StepBuffer[]): number {
  return buffers.reduce((sum, { bytes }) => sum + bytes, 0);
}

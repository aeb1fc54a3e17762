/** @file What a page with a picture of memory needs to name what is at the pointer: data, and a script of its own. */

import { aliveAt, memoryKinds, type StepMemory } from '../../../memory/step-memory.js';
import { type Slice, startsOf } from './slices.js';
import { kindWords, phases } from './style.js';

/** Tensors that are named at each place. */
const namedTensors = 8;

/**
 * The data that the script reads, as text that may stand in a script element: of each slice its times, the position, phase
 * and name of its node, and the largest tensors that are alive there. Texts are numbers of entries in `texts`.
 */
export function hoverData(memory: StepMemory, slices: readonly Slice[]): string {
  const numbers = new Map<string, number>();
  const numberOf = (text: string): number => {
    const known = numbers.get(text) ?? numbers.size;
    numbers.set(text, known);
    return known;
  };
  const starts = startsOf(memory.nodes);
  const total = starts[memory.nodes.length] as number;
  const places = slices.map(({ from, to, start, end, at, bytes }) => {
    const { name = '', layer = '', phase = 'forward' } = memory.nodes[at] ?? {};
    const alive = aliveAt(memory, at);
    const named = alive.slice(0, namedTensors);
    return [
      ...[round(start), round(end), from, to, at],
      ...[phases.indexOf(phase), numberOf(name), numberOf(layer), alive.length],
      bytes,
      named.map((each) => [memoryKinds.indexOf(each.kind), numberOf(each.name), numberOf(each.layer), each.bytes]),
    ];
  });
  const peak = slices.findIndex(({ from, to }) => from <= memory.peakAt && memory.peakAt < to);
  const data = {
    ...{ total: round(total), peak, nodes: memory.nodes.length, phases, places },
    kinds: memoryKinds.map((kind) => [kind, kindWords[kind][0]]),
    texts: [...numbers.keys()],
  };
  return JSON.stringify(data).replaceAll('<', '\\u003c');
}

function round(ms: number): number {
  return Number(ms.toFixed(3));
}

/**
 * Follows the pointer over the pictures (`data-left` and `data-right` are the margins of time), and the slider below them
 * for keyboards and fingers. Without the script the page has its tables.
 */
export const hoverScript = `'use strict';
{
  const data = JSON.parse(document.getElementById('places').textContent);
  const reading = document.getElementById('reading');
  const slider = document.getElementById('place');
  const pictures = [...document.querySelectorAll('.step svg')];
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1) + ' MB';
  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const widthOf = (svg) => svg.viewBox.baseVal.width;
  const lines = pictures.map((svg) => {
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    line.setAttribute('stroke', 'currentColor');
    line.setAttribute('stroke-width', '1.5');
    line.setAttribute('pointer-events', 'none');
    return svg.appendChild(line);
  });
  const marginsOf = (svg) => [Number(svg.parentNode.dataset.left), widthOf(svg) - Number(svg.parentNode.dataset.right)];
  const show = (index) => {
    const [start, end, from, to, at, phase, name, layer, alive, bytes, named] = data.places[index];
    const sum = bytes.reduce((total, each) => total + each, 0);
    pictures.forEach((svg, number) => {
      const [left, right] = marginsOf(svg);
      const x = left + (right - left) * (start + end) / 2 / data.total;
      const { top, bottom } = svg.parentNode.dataset;
      lines[number].setAttribute('d', 'M' + x.toFixed(1) + ',' + top + 'V' + bottom);
    });
    const head = element('p', 'now');
    head.append(element('strong', '', megabytes(sum) + (index === data.peak ? ', the peak' : '')));
    head.append(' at ' + start.toFixed(1) + ' ms of ' + data.total.toFixed(1) + ', ' + data.phases[phase]);
    if (data.texts[layer]) head.append(', ', element('b', '', data.texts[layer]));
    const node = element('p', 'node', data.texts[name] + ' (node ' + (at + 1) + ' of ' + data.nodes + (to - from > 1 ? ', the most of ' + (to - from) + ' nodes' : '') + ')');
    const kinds = element('p', 'kinds');
    bytes.forEach((each, kind) => {
      if (each === 0) return;
      const entry = element('span');
      entry.append(element('i', data.kinds[kind][0]), data.kinds[kind][1] + ' ' + megabytes(each));
      kinds.append(entry, ' ');
    });
    const list = element('ul');
    for (const [kind, tensor, maker, size] of named) {
      const item = element('li');
      item.append(element('i', data.kinds[kind][0]), element('span', 'bytes', megabytes(size)), ' ' + data.texts[tensor]);
      if (data.texts[maker] && !data.texts[tensor].includes(data.texts[maker])) item.append(element('small', '', ' of ' + data.texts[maker]));
      list.append(item);
    }
    reading.replaceChildren(head, node, kinds, list);
    if (alive > named.length) reading.append(element('p', 'node', 'and ' + (alive - named.length) + ' smaller ones'));
    slider.value = String(index);
    slider.setAttribute('aria-valuetext', head.textContent);
  };
  const indexAt = (time) => {
    let [low, high] = [0, data.places.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.places[middle][1] <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  pictures.forEach((svg) => {
    const follow = (event) => {
      const box = svg.getBoundingClientRect();
      const [left, right] = marginsOf(svg);
      const x = (event.clientX - box.left) * widthOf(svg) / box.width;
      show(indexAt(Math.min(Math.max((x - left) / (right - left), 0), 1) * data.total));
    };
    svg.addEventListener('pointermove', follow);
    svg.addEventListener('pointerdown', follow);
  });
  slider.max = String(data.places.length - 1);
  slider.addEventListener('input', () => show(Number(slider.value)));
  document.getElementById('to-peak').addEventListener('click', () => show(data.peak));
  document.getElementById('explore').hidden = false;
  show(data.peak);
}`;

/** @file Observable Plot without a browser: a plot as a fragment of SVG. */

import {
  type AxisXOptions,
  type AxisYOptions,
  axisX,
  axisY,
  frame,
  type Markish,
  type PlotOptions,
  plot,
} from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/**
 * The inside of the plot's svg element, to be placed in a group that sets fill, font and text-anchor.
 * Plot's own style sheet is dropped: it only matters in HTML, and not every viewer of SVG files knows `:where()`.
 */
export function plotFragment(options: PlotOptions): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const svg = plot({ ...options, document, className: 'plot' });
  for (const style of svg.querySelectorAll('style')) style.remove();
  return svg.innerHTML;
}

/**
 * The frame and the axes of a plot, as all of ours have them.
 * @param label of the horizontal axis
 * @param ink colour of the frame
 */
export function axes(label: string, ink: string, x: AxisXOptions, y: AxisYOptions = {}): Markish[] {
  return [
    frame({ anchor: 'bottom', stroke: ink, strokeOpacity: 0.5 }),
    axisY({ label: null, tickSize: 0, fontSize: 11, ...y }),
    axisX({ label, labelAnchor: 'center', labelArrow: 'none', labelOffset: 36, fontSize: 11, ...x }),
  ];
}

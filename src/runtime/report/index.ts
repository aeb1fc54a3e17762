/** @file Pictures of a run: its curves as an SVG file, its report as an HTML page. */

export { renderCurves } from './curves.js';
export { renderReport } from './html.js';

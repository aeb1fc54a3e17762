/** @file Pictures of a run: its curves as an SVG file, its report as an HTML page; and of a plan's memory. */

export { renderCurves } from './curves.js';
export { renderReport } from './html.js';
export { renderPlanPage, renderPlanPicture } from './plan/page.js';
export { nameOf, provenOf, renderSweepPicture } from './plan/sweep-picture.js';

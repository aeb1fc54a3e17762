/** @file The forecast of a run's memory. */

import { expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { planMemory } from '../../src/memory/plan.js';
import { forecastMemory } from '../../src/runtime/forecast.js';

const compiled = compile(densenet({ blockConfig: [2, 2], growthRate: 6, imageSize: 16 }));

it('keeps the plan’s peak, thins out its course, and counts more than is alive', () => {
  const plan = planMemory(compiled.training, 8);
  const forecast = forecastMemory(compiled, 8);
  expect(forecast.livePeakBytes).toBe(plan.peakBytes);
  expect(forecast.timeline.length).toBeLessThanOrEqual(480);
  expect(Math.max(...forecast.timeline)).toBe(Math.max(...plan.timeline));
  expect(forecast.timeline[0]).toBe(plan.timeline[0]);
  expect(forecast.processBytes).toBeGreaterThan(plan.peakBytes);
  expect(forecast.peakAt).toMatch(/\w/);
  expect(forecast.backwardPosition).toBeGreaterThan(0.05);
  expect(forecast.backwardPosition).toBeLessThan(0.9);
});

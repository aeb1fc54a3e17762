/** @file A segment is updated where the last of its gradients is computed, and everything else stays in its order. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { parseGraph, printGraph, verifyGraph } from '../../src/ir/index.js';
import { executionOrder } from '../../src/memory/execution-order.js';
import { programOf, toModel } from '../../src/onnx/index.js';
import { updateEarly } from '../../src/passes/update-early.js';

/** Two gradients, computed one after the other, and the updates of both at the end. */
const graph = parseGraph(`
  graph tiny {
    in  parameter %a: f32[2]
    in  parameter %b: f32[2]
    in  parameter %rate: f32[2]
    %atB: f32[2] = exp(%b)  # backward b
    %atA: f32[2] = mul(%atB, %a)  # backward a
    %stepA: f32[2] = mul(%atA, %rate)  # update optimizer
    %stepB: f32[2] = mul(%atB, %rate)  # update optimizer
    %nextA: f32[2] = sub(%a, %stepA)  # update optimizer
    %nextB: f32[2] = sub(%b, %stepB)  # update optimizer
    out next next.a of a = %nextA
    out next next.b of b = %nextB
  }`);

describe('update-early', () => {
  it('puts an update behind what it waits for', () => {
    const moved = updateEarly.run(graph);
    verifyGraph(moved);
    expect(printGraph(moved)).toMatchInlineSnapshot(`
      "graph tiny {
        in  parameter %a: f32[2]
        in  parameter %b: f32[2]
        in  parameter %rate: f32[2]
        %0: f32[2] = exp(%b)  # backward b
        %1: f32[2] = mul(%0, %rate)  # update optimizer
        %2: f32[2] = sub(%b, %1)  # update optimizer
        %3: f32[2] = mul(%0, %a)  # backward a
        %4: f32[2] = mul(%3, %rate)  # update optimizer
        %5: f32[2] = sub(%a, %4)  # update optimizer
        out next next.a of a = %5
        out next next.b of b = %2
      }"
    `);
    expect(printGraph(updateEarly.run(moved))).toBe(printGraph(moved));
  });

  it('is what the runtime does: the last layers are updated before the first ones have their gradients', () => {
    const { training, segments } = compile(densenet({ depth: 40 }), { remat: 'max', segmentBytes: 200_000 });
    const program = programOf(toModel(training));
    const order = executionOrder(program).map((index) => program.nodes[index]);
    const position = (name: string): number => order.findIndex((node) => node?.outputs.includes(name));
    const parameters = segments.filter(({ role }) => role === 'parameter').map(({ name }) => position(`next.${name}`));
    const end = Math.max(...parameters);
    expect(parameters.length).toBeGreaterThan(2);
    expect(Math.min(...parameters)).toBeLessThan(0.75 * end);
  });
});

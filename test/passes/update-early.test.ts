/** @file A segment is updated where the last of its gradients is computed, and everything else stays in its order. */

import { describe, expect, it } from 'vitest';
import { densenet } from '../../src/builders/index.js';
import { compile } from '../../src/compile.js';
import { type Graph, GraphBuilder, printGraph, type Value, verifyGraph } from '../../src/ir/index.js';
import { executionOrder } from '../../src/memory/execution-order.js';
import { programOf, toModel } from '../../src/onnx/index.js';
import { updateEarly } from '../../src/passes/update-early.js';

/** Two gradients, computed one after the other, and the updates of both at the end. */
function graph(): Graph {
  const builder = new GraphBuilder('tiny');
  const input = (name: string): Value =>
    builder.input(
      { dtype: 'float32', shape: [2] },
      { name, role: 'parameter', initializer: { kind: 'constant', value: 0 } },
    );
  const [a, b, rate] = ['a', 'b', 'rate'].map(input) as [Value, Value, Value];
  builder.origin = { scope: 'b', phase: 'backward' };
  const atB = builder.emit('exp', [b], {});
  builder.origin = { scope: 'a', phase: 'backward' };
  const atA = builder.emit('mul', [atB, a], {});
  builder.origin = { scope: 'optimizer', phase: 'update' };
  const steps = [atA, atB].map((gradient) => builder.emit('mul', [gradient, rate], {}));
  const next = [a, b].map((value, index) => builder.emit('sub', [value, steps[index] as Value], {})) as [Value, Value];
  return builder.finish(
    ['a', 'b'].map((name, index) => ({ name: `next.${name}`, role: 'next', of: name, value: next[index] as Value })),
  );
}

describe('update-early', () => {
  it('puts an update behind what it waits for', () => {
    const moved = updateEarly.run(graph());
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

/** @file The solver of integer programs: HiGHS, loaded when a budget is first asked for. */

import type { Highs, ModelData } from 'highs';
import { InternalError, RequestError } from '../../../ir/index.js';
import type { Program } from './program.js';

let loaded: Highs | undefined;

/**
 * Loads the solver that memory budgets need. `compile` doesn't wait, so whoever gives it a budget awaits this before, once.
 */
export async function loadSolver(): Promise<void> {
  if (loaded) return;
  const { default: module } = await import('highs');
  // Its types describe the CommonJS file, in which the loader is a property.
  const load = module as unknown as typeof module.default;
  loaded = await load();
}

/** What came of a program. */
export interface Outcome {
  /** `open` where time ran out. */
  readonly status: 'optimal' | 'infeasible' | 'open';
  /** The variables of the best solution found. */
  readonly solution?: Float64Array | undefined;
  /** No solution costs less. */
  readonly bound: number;
}

/** @throws RequestError when the solver hasn't been loaded */
export function requireSolver(): void {
  solverLoaded();
}

// No exported type may name the package's: they need a library that programs which import ours may not have.
function solverLoaded(): Highs {
  if (!loaded) throw new RequestError('a memory budget needs its solver: await loadSolver() once before compile()');
  return loaded;
}

/** How to solve. */
interface SolveOptions {
  readonly seconds: number;
  /** Share of the cost within which a solution counts as optimal. */
  readonly gap: number;
  /** Values of some variables to start from. */
  readonly start?: ReadonlyMap<number, number> | undefined;
}

/** Solves a program. */
export function solveProgram(program: Program, { seconds, gap, start }: SolveOptions): Outcome {
  const highs = solverLoaded();
  const none = { status: 'infeasible' as const, bound: Number.POSITIVE_INFINITY };
  if (program.isContradictory) return none;
  const model = highs.createModel(modelOf(program, highs.infinity));
  try {
    model.options.set({ output_flag: false, time_limit: seconds, mip_rel_gap: gap, random_seed: 0 });
    if (start) model.setSolution({ indices: Int32Array.from(start.keys()), values: Float64Array.from(start.values()) });
    model.run();
    const status = model.getModelStatus();
    const { optimal, infeasible, timeLimit, unboundedOrInfeasible } = highs.constants.modelStatus;
    if (status === infeasible || status === unboundedOrInfeasible) return none;
    if (status !== optimal && status !== timeLimit) throw new InternalError(`HiGHS ended with status ${status}`);
    const isFeasible = model.info.get('primal_solution_status') === feasiblePoint;
    return {
      status: status === optimal ? 'optimal' : 'open',
      solution: isFeasible ? model.getSolution().colValue : undefined,
      bound: Number(model.info.get('mip_dual_bound')),
    };
  } finally {
    model.dispose();
  }
}

/** The solver's number for a solution that holds all rows. */
const feasiblePoint = 2;

/** A program as the solver takes it: rows compressed. */
function modelOf({ rows, costs, constantCost, integers }: Program, infinity: number): ModelData {
  const starts = new Int32Array(rows.length + 1);
  const indices: number[] = [];
  const values: number[] = [];
  for (const [index, { terms }] of rows.entries()) {
    for (const [variable, factor] of terms) {
      indices.push(variable);
      values.push(factor);
    }
    starts[index + 1] = indices.length;
  }
  const size = { numRows: rows.length, numCols: costs.length };
  return {
    ...size,
    offset: constantCost,
    colCost: Float64Array.from(costs),
    colLower: new Float64Array(costs.length),
    colUpper: new Float64Array(costs.length).fill(1),
    rowLower: new Float64Array(rows.length).fill(-infinity),
    rowUpper: Float64Array.from(rows, ({ upper }) => upper),
    matrix: { ...size, format: 'csr', starts, indices: Int32Array.from(indices), values: Float64Array.from(values) },
    integrality: Int32Array.from(integers, Number),
  };
}

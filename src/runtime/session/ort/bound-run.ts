/** @file What a run reads and writes, bound to memory once for each shape of its feeds. */

import { InternalError } from '../../../ir/index.js';
import type { RunRequest } from '../protocol.js';
import { made, type OrtApi, type Pointer } from './api.js';
import { extentsOf, type ModelFacts, outputType } from './model-facts.js';
import type { Bound, Tensors } from './tensors.js';

/** A state: what the next run reads, and where it writes; the same where it is updated in place. */
export interface Slot {
  current: Bound;
  next: Bound;
}

/** States by the names of the inputs that read them. */
export type Slots = ReadonlyMap<string, Slot>;

/** The slot of a state. @throws InternalError where it was never set */
export function slotOf(state: Slots, name: string): Slot {
  const slot = state.get(name);
  if (!slot) throw new InternalError(`the state ${name} was never set`);
  return slot;
}

/** Whether some state lies in two places, which change roles after each run that updates it. */
export function takesTurns(state: Slots): boolean {
  return [...state.values()].some(({ current, next }) => current !== next);
}

/** Memory and bindings for one shape of feeds. */
export interface BoundRun {
  readonly feeds: ReadonlyMap<string, Bound>;
  readonly results: ReadonlyMap<string, Bound>;
  /** One where all state is updated in place, else one for each direction. */
  readonly bindings: readonly Binding[];
}

/** Inputs and outputs bound to memory. */
interface Binding {
  readonly pointer: Pointer;
  /** Binds the inputs, which copies those that don't lie where they are read. */
  bindInputs(): void;
}

/** What a run is bound in. */
interface Surroundings {
  readonly api: OrtApi;
  /** The session that will run it. */
  readonly session: Pointer;
  readonly model: ModelFacts;
  readonly tensors: Tensors;
  readonly state: Slots;
  /** Where states take turns: 0 or 1, as they lie now. */
  readonly direction: number;
}

/** Binds a run that was checked (`checkRun`). */
export function bindRun(
  { api, session, model, tensors, state, direction }: Surroundings,
  { feeds, results, updates }: Omit<RunRequest, 'kind'>,
): BoundRun {
  const extents = extentsOf(model, feeds);
  const bound = new Map(feeds.map(([name, { dtype, shape }]) => [name, tensors.allocate(dtype, shape)]));
  const fetched = new Map(
    results.map((name) => {
      const { dtype, shape } = outputType(model, name, extents);
      return [name, tensors.allocate(dtype, shape)];
    }),
  );
  const binding = (turned: boolean): Binding => {
    const pointer = made(api.CreateIoBinding, session);
    const inputs = [
      ...bound,
      ...[...state].map(([name, { current, next }]) => [name, turned ? next : current] as const),
    ];
    const bindInputs = (): void => {
      for (const [name, { value }] of inputs) api.BindInput(pointer, name, value);
    };
    bindInputs();
    for (const [name, { value }] of fetched) api.BindOutput(pointer, name, value);
    for (const { output, input } of updates) {
      const { current, next } = slotOf(state, input);
      api.BindOutput(pointer, output, (turned ? current : next).value);
    }
    return { pointer, bindInputs };
  };
  // Bindings are made for the state as it lies now, whichever direction that is.
  const turned = direction === 0 ? [false, true] : [true, false];
  const bindings = takesTurns(state) ? turned.map(binding) : [binding(false)];
  return { feeds: bound, results: fetched, bindings };
}

/** Frees what `bindRun` made. */
export function unbindRun({ api, tensors }: Pick<Surroundings, 'api' | 'tensors'>, run: BoundRun): void {
  for (const { pointer } of run.bindings) api.ReleaseIoBinding(pointer);
  for (const bound of [...run.feeds.values(), ...run.results.values()]) tensors.free(bound);
}

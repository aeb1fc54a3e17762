/** @file Weights from files: ours, the seed's and torchvision's names told apart, and what doesn't fit told in full. */

import { DensecError, FailureError, RequestError, type TensorData } from '../../ir/index.js';
import type { Segment } from '../../passes/pack-state.js';
import { correctionName, isKeptOf, isOptimizerState, parseSlotName, slotName } from '../../step/interface.js';
import { readSafetensors } from '../files/safetensors.js';

/** Tensors by name. */
export type State = ReadonlyMap<string, TensorData>;

/** A tensor that the file and the network both have, but not alike. */
export interface TensorMismatch {
  readonly name: string;
  readonly file: Pick<TensorData, 'dtype' | 'shape'>;
  readonly network: Pick<TensorData, 'dtype' | 'shape'>;
}

/** How a file's tensors fit a network. */
export interface WeightsMatch {
  /** The tensors that fit, under the network's names; momentum and its like under `momentum.<parameter>`. */
  readonly state: Map<string, TensorData>;
  /** What the network has and the file lacks; counters may be missing, they begin at 0. */
  readonly missing: readonly string[];
  /** What the file has and the network lacks, under the file's names. */
  readonly unexpected: readonly string[];
  readonly mismatched: readonly TensorMismatch[];
  /** What stands before the network's names in the file and was stripped, as in `module.`; empty where nothing does. */
  readonly prefix: string;
}

/** Weights that fit a network, read from a file. */
export interface LoadedWeights {
  readonly state: State;
  /** Tensors of the file that the network has no place for. */
  readonly unexpected: readonly string[];
  /** Tensors whose initial values were kept because the file tells other classes apart. */
  readonly replaced: readonly string[];
  /** What stood before the network's names in the file and was stripped, as in `module.`; empty where nothing did. */
  readonly prefix: string;
  /** The free text that the file carries. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** What DataParallel and torch.compile put before names, also where others of the file have nothing before them. */
const wrappers = /^(?:module\.|_orig_mod\.)+/;

/** Other spellings of our names: torchvision's last norm, and its layers before version 0.4. */
const spellings: readonly (readonly [pattern: RegExp, ours: string])[] = [
  [/^features\.norm5\./, 'features.norm_final.'],
  [/\.denselayer(\d+)\.(norm|conv)\.(\d)\./, '.denselayer$1.$2$3.'],
];

/**
 * Holds a file's tensors against a network's. Names are the network's own, those of the seed and of torchvision's
 * DenseNets (old and new), each also behind a prefix that most of the file's names share: `module.` of DataParallel,
 * `_orig_mod.` of torch.compile, `model.`, `backbone.` or whatever a program's own module is called.
 * @param layout the network's tensors: `segments` of what `compile` gives, `state` of a bundle's manifest
 */
export function matchWeights(tensors: State, layout: readonly Segment[]): WeightsMatch {
  const wanted = new Map(
    layout.flatMap(({ role, dtype, tensors: members }) =>
      members.map(({ name, shape }) => [name, { role, dtype, shape }] as const),
    ),
  );
  const state = new Map<string, TensorData>();
  const unexpected: string[] = [];
  const mismatched: TensorMismatch[] = [];
  const sources = new Map<string, string>();
  const known = (name: string): boolean => wanted.has(name);
  const shared = sharedPrefix([...tensors.keys()], known);
  let prefixed = '';
  for (const [given, tensor] of tensors) {
    const slot = parseSlotName(given);
    const own = slot?.parameter ?? given;
    const before = shared !== '' && own.startsWith(shared) ? shared : (wrappers.exec(own)?.[0] ?? '');
    const stripped = networkName(own.slice(before.length), known);
    const base = stripped ?? networkName(own, known);
    if (stripped !== undefined) prefixed ||= before;
    const place = base === undefined ? undefined : wanted.get(base);
    if (base === undefined || !place || (slot && !isKeptOf(slot.role, place.role))) {
      unexpected.push(given);
      continue;
    }
    const name = slot ? slotName(slot.role, base) : base;
    const other = sources.get(name);
    if (other !== undefined) throw new FailureError(`${other} and ${given} both stand for ${name}; leave one out`);
    sources.set(name, given);
    if (tensor.dtype === place.dtype && tensor.shape.join() === place.shape.join()) state.set(name, tensor);
    else mismatched.push({ name, file: tensor, network: place });
  }
  const missing = [...wanted]
    .filter(([name, { role }]) => (role === 'parameter' || role === 'running') && !sources.has(name))
    .map(([name]) => name);
  return { state, missing, unexpected, mismatched, prefix: prefixed };
}

/**
 * Reads weights (and momentum, where the file has it) that fit a network as a whole.
 * @param layout as for `matchWeights`
 * @throws FailureError when the file is broken or lacks tensors; RequestError when shapes differ; the message lists
 * what is missing, what has another shape (with both shapes) and what the network has no place for
 */
export async function loadWeights(path: string, layout: readonly Segment[]): Promise<LoadedWeights> {
  const { match, metadata } = await readMatch(path, layout);
  refuseMismatch(path, match, match.mismatched);
  return { state: match.state, unexpected: match.unexpected, replaced: [], prefix: match.prefix, metadata };
}

/**
 * Reads weights to begin training with, without momentum; the average of them where the file has one. Where the file tells another number of classes apart, the
 * network's last layer keeps its fresh values.
 * @param layout as for `matchWeights`
 * @param classes of the network
 * @param fresh the network's own initial state
 * @throws as `loadWeights`, for everything but the classes
 */
export async function loadInitialWeights(
  path: string,
  layout: readonly Segment[],
  classes: number,
  fresh: State,
): Promise<LoadedWeights> {
  const { match, metadata } = await readMatch(path, layout);
  const classifier = otherClasses(match.mismatched, classes);
  refuseMismatch(path, match, classifier === undefined ? match.mismatched : []);
  const state = new Map([...weightsOnly(match.state)].filter(([name]) => fresh.has(name)));
  requireFinite(state, path);
  const replaced: string[] = [];
  if (classifier !== undefined) {
    for (const [name, tensor] of fresh) {
      if (!name.startsWith(classifier)) continue;
      state.set(name, tensor);
      replaced.push(name);
    }
  }
  return { state, unexpected: match.unexpected, replaced, prefix: match.prefix, metadata };
}

async function readMatch(
  path: string,
  layout: readonly Segment[],
): Promise<{ match: WeightsMatch; metadata: Readonly<Record<string, string>> }> {
  const { tensors, metadata } = await readSafetensors(path);
  try {
    return { match: matchWeights(tensors, layout), metadata };
  } catch (error) {
    if (error instanceof DensecError) throw new FailureError(`${path}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** The network's name for a file's, if it has one. */
function networkName(given: string, known: (name: string) => boolean): string | undefined {
  const ours = spellings.reduce((name, [pattern, spelling]) => name.replace(pattern, spelling), given);
  return [given, ours].find(known);
}

/**
 * What stands before most of the names that a network has: whole parts between dots, possibly nothing.
 * @throws FailureError when names behind two prefixes fit as well, as a student's and a teacher's in one file
 */
function sharedPrefix(names: readonly string[], known: (name: string) => boolean): string {
  const counts = new Map<string, number>([['', 0]]);
  for (const name of names) {
    const own = parseSlotName(name)?.parameter ?? name;
    for (let begin = 0; ; ) {
      if (networkName(own.slice(begin), known) !== undefined) {
        const prefix = own.slice(0, begin);
        counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
        break;
      }
      const dot = own.indexOf('.', begin);
      if (dot < 0) break;
      begin = dot + 1;
    }
  }
  const [first = ['', 0], second = ['', 0]] = [...counts].sort(([, a], [, b]) => b - a);
  if (first[1] === second[1] && first[0] !== '' && second[0] !== '') {
    throw new FailureError(`names behind ${first[0]} and behind ${second[0]} fit equally well; leave one of them out`);
  }
  return first[1] > (counts.get('') ?? 0) ? first[0] : '';
}

/**
 * The one layer, as `classifier.`, in which a file differs, where it differs in nothing but the number of classes: the
 * first extent of its parameters. A layer inside the network can't be the only one, since the next reads its channels.
 */
function otherClasses(mismatched: readonly TensorMismatch[], classes: number): string | undefined {
  const layerOf = (name: string): string => name.slice(0, name.lastIndexOf('.') + 1);
  const differsInClasses = ({ file, network }: TensorMismatch): boolean =>
    file.dtype === network.dtype &&
    network.shape[0] === classes &&
    file.shape.length === network.shape.length &&
    file.shape.slice(1).join() === network.shape.slice(1).join();
  const parameters = mismatched.filter(({ name }) => !parseSlotName(name));
  const [layer, ...others] = new Set(parameters.map(({ name }) => layerOf(name)));
  return layer && others.length === 0 && parameters.every(differsInClasses) ? layer : undefined;
}

/** How many names of a kind a message lists. */
const listed = 10;

function refuseMismatch(path: string, match: WeightsMatch, mismatched: readonly TensorMismatch[]): void {
  const { missing, unexpected } = match;
  if (missing.length === 0 && mismatched.length === 0) return;
  const lines = [
    ...(missing.length > 0 ? [`it lacks ${missing.length} of the network's tensors: ${listNames(missing)}`] : []),
    ...(mismatched.length > 0
      ? [`${mismatched.length} have another shape or type: ${listNames(mismatched.map(describeMismatch))}`]
      : []),
    ...(unexpected.length > 0 ? [`${unexpected.length} have no place in the network: ${listNames(unexpected)}`] : []),
  ];
  const message = `${path} doesn't fit the network; build the network that its weights are of\n  ${lines.join('\n  ')}`;
  throw mismatched.length > 0 ? new RequestError(message) : new FailureError(message);
}

function describeMismatch({ name, file, network }: TensorMismatch): string {
  const type = ({ dtype, shape }: Pick<TensorData, 'dtype' | 'shape'>): string => `${dtype} [${shape.join(', ')}]`;
  return `${name} is ${type(file)}, the network has ${type(network)}`;
}

/** The first of some names, and how many more there are. */
export function listNames(names: readonly string[]): string {
  const more = names.length - listed;
  return `${names.slice(0, listed).join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

/**
 * What is evaluated and exported: parameters, running statistics and counters, those that an average is kept of by their
 * average. It counts once a step has updated it.
 */
export function weightsOnly(state: State): Map<string, TensorData> {
  const isAveraged = state.get(correctionName('ema'))?.data[0] !== 0;
  const weights = [...state].filter(([name]) => !isOptimizerState(name));
  return new Map(
    weights.map(([name, tensor]) => [name, (isAveraged ? state.get(slotName('ema', name)) : undefined) ?? tensor]),
  );
}

/** The name of a tensor with a number that is not finite, if there is one. */
export function nonFinite(state: State): string | undefined {
  for (const [name, { dtype, data }] of state) {
    if (dtype === 'float32' && !(data as Float32Array).every(Number.isFinite)) return name;
  }
  return undefined;
}

/**
 * Requires that weights to use are numbers.
 * @param source named in the error
 * @throws FailureError naming the first tensor that is not finite
 */
export function requireFinite(state: State, source: string): void {
  const broken = nonFinite(state);
  if (broken === undefined) return;
  throw new FailureError(
    `${source}: ${broken} is not finite; the training that wrote it diverged: use earlier weights`,
  );
}

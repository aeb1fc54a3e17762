/** @file What a bundle's manifest.json says, and the check that it says it. */

import { z } from 'zod';
import { denseNetSchema } from '../../builders/densenet-config.js';
import { lossSchema, resolveLoss } from '../../builders/losses/index.js';
import { FailureError } from '../../ir/index.js';
import { optimizerSchema } from '../../passes/optimizers/index.js';
import { defaultCosts } from '../../targets/index.js';

/** Raised whenever a reader of older bundles would go wrong. Format 1 kept no forward graph; it is read all the same. */
export const formatVersion = 2;

const count = z.number().int().nonnegative();
const extents = z.array(count);

const tensorLayout = z.object({ name: z.string(), shape: extents, offset: count });

const segment = z
  .object({
    name: z.string(),
    role: z.enum(['parameter', 'running', 'counter', 'optimizer']),
    decay: z.literal(false).optional(),
    dtype: z.enum(['float32', 'int64']),
    frozen: z.literal(true).optional(),
    length: count,
    tensors: z.array(tensorLayout),
  })
  // Before anything of that length is allocated or copied to these places.
  .refine(tensorsFill, { error: 'its tensors do not fill its length one after the other' });

function tensorsFill({ length, tensors }: { length: number; tensors: z.infer<typeof tensorLayout>[] }): boolean {
  let end = 0;
  for (const { shape, offset } of tensors) {
    if (offset !== end) return false;
    end += shape.reduce((product, extent) => product * extent, 1);
  }
  return end === length;
}

const model = z.object({ file: z.string(), sha256: z.string(), nodes: count });

const plan = z.object({
  order: z.array(z.string()),
  recompute: z.array(count),
  backward: count,
  livePeak: z.array(z.object({ fixed: z.number(), perSample: z.number() })).min(1),
  runningShare: z.record(z.string(), z.number()),
});

const certificate = z.object({
  status: z.enum(['optimal', 'feasible']),
  budgetBytes: z.number().positive(),
  batchSize: z.number().int().positive(),
  peakBytes: z.number(),
  /** Certificates from before machines could be measured don't say. */
  costs: z.string().default(defaultCosts),
  microseconds: z.number(),
  boundMicroseconds: z.number(),
  gap: z.number().nonnegative(),
  tried: count,
  refused: count,
  seconds: z.number().nonnegative(),
});

const manifest = z.object({
  formatVersion: z.literal([1, formatVersion]),
  /** Version of densec that built the bundle. */
  densec: z.string(),
  /** Version of onnxruntime the plan was made for. */
  onnxruntime: z.string(),
  name: z.string(),
  /** The DenseNet's configuration, for people; absent where the network is one's own. */
  network: denseNetSchema.optional(),
  inputShape: extents,
  /** Outputs: classes, labels or values, as the loss has them. */
  classes: count,
  parameters: count,
  /** Convolutions and linear layers. */
  layers: count,
  leastBatchSize: count,
  target: z.enum(['cpu', 'webgpu', 'cuda']),
  /** Whether the training model has operators of ours; bundles from before there were any don't say. */
  kernels: z.enum(['plain', 'cudnn']).default('plain'),
  /** Whether the training model is for several processes; said only where it is. */
  processes: z.literal(true).optional(),
  /** Whether batch norm normalizes by the images of all of them; likewise. */
  syncBatchNorm: z.literal(true).optional(),
  remat: z.enum(['none', 'efficient', 'max', 'custom', 'budget']),
  /** For a policy or solver of one's own: what it chose (`Compiled.recomputed`). */
  recomputed: extents.optional(),
  /** How the graph of these positions is laid out, where that isn't the usual way. */
  layout: z.object({ parts: z.number().positive(), holdShare: z.number().min(0).max(1) }).optional(),
  /** For a plan within a memory budget, what is proven of it. */
  solver: certificate.optional(),
  optimizer: optimizerSchema,
  /** What training makes small; bundles from before it could be chosen don't say. */
  loss: lossSchema.default(resolveLoss()),
  seed: z.number().int(),
  /** Whether the training model takes the scalars `step` and `seed`, for dropout's masks. */
  dropout: z.boolean(),
  models: z.object({ training: model, evaluation: model }),
  /** The forward graph as text, to plan again and to export from; absent in format 1. */
  forward: z.object({ file: z.string(), sha256: z.string() }).optional(),
  /** The largest segment of state, where one was asked for. */
  segmentBytes: count.optional(),
  /** The initial state. */
  initial: z.object({ file: z.string() }),
  /** How the state's tensors lie in the models' inputs. */
  state: z.array(segment),
  /** The memory plan of the training model (`PlanRecord`); absent in bundles from before plans were kept. */
  plan: plan.optional(),
});

const schema = manifest.refine((each) => each.formatVersion === 1 || each.forward !== undefined, {
  path: ['forward'],
  error: `format ${formatVersion} has the forward graph`,
});

/** The contents of manifest.json. */
export type Manifest = z.infer<typeof schema>;

/**
 * A manifest from its text.
 * @param path named in errors
 * @throws FailureError when it is no manifest, or one of another format version
 */
export function parseManifest(text: string, path: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new FailureError(`${path} is not JSON (${(error as Error).message}); build the bundle again`);
  }
  const version = (json as { formatVersion?: unknown } | null)?.formatVersion;
  if (typeof version === 'number' && version !== 1 && version !== formatVersion) {
    throw new FailureError(
      `${path} has format version ${version}, this densec reads versions 1 and ${formatVersion}; build the bundle again with this one`,
    );
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new FailureError(
    `${path} is not the manifest of a bundle: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}; build the bundle again`,
  );
}

/** @file What a model takes and gives. */

import { type DType, FailureError, type TensorType } from '../ir/index.js';
import { elementTypes, type ModelProto, type ValueInfoProto } from './protobuf.js';

/** The types of a model's inputs by name. @throws FailureError when one has a type that no model of ours has */
export function inputTypes({ graph }: ModelProto): ReadonlyMap<string, TensorType> {
  return valueTypes(graph?.input);
}

/** The types of a model's inputs or outputs by name. @throws FailureError when one has a type that no model of ours has */
export function valueTypes(values: readonly ValueInfoProto[] | null | undefined): ReadonlyMap<string, TensorType> {
  return new Map(
    (values ?? []).map(({ name, type }) => {
      const { elemType, shape } = type?.tensorType ?? {};
      const dtype = Object.entries(elementTypes).find(([, number]) => number === elemType)?.[0];
      if (!dtype) throw new FailureError(`the model's ${name} has the unknown element type ${elemType}`);
      const extents = (shape?.dim ?? []).map(({ dimParam, dimValue }) => dimParam || Number(dimValue));
      return [name ?? '', { dtype: dtype as DType, shape: extents }];
    }),
  );
}

/** Compares and describes tensors of different models. */
import type { TensorMetadata } from '../model-metadata.ts'

/** For example `FP32 [-1,4]`. */
export function typeText({ datatype, shape, anyShape }: TensorMetadata): string {
  return anyShape === true ? `${datatype} of any shape` : `${datatype} [${shape.join(',')}]`
}

/** For example `"x", "y"`; `none` for an empty list. */
export function namesText(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => JSON.stringify(name)).join(', ')
}

/**
 * Whether a tensor of one type can be one of another type. Shapes of different ranks may differ in
 * dimensions of size 1, so only a run can tell.
 */
export function fits(one: TensorMetadata, other: TensorMetadata): boolean {
  if (one.datatype !== other.datatype) return false
  if (one.anyShape === true || other.anyShape === true) return true
  if (one.shape.length !== other.shape.length) return true
  return one.shape.every((size, axis) => {
    const wanted = other.shape[axis] ?? -1
    return size < 0 || wanted < 0 || size === wanted
  })
}

/** The type of a tensor that must fit both types. Call it only if they {@link fits}. */
export function narrowed(one: TensorMetadata, other: TensorMetadata): TensorMetadata {
  if (one.anyShape === true) return { ...other, name: one.name }
  if (other.anyShape === true || one.shape.length !== other.shape.length) return one
  const isFixed = (axis: number): boolean =>
    (one.shape[axis] ?? 0) < 0 && (other.shape[axis] ?? -1) >= 0
  return {
    ...one,
    shape: one.shape.map((size, axis) => (isFixed(axis) ? (other.shape[axis] ?? size) : size)),
    dimensions: one.dimensions.map((size, axis) =>
      isFixed(axis) ? (other.shape[axis] ?? size) : size,
    ),
  }
}

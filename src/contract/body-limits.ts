/** Limits of bodies between front-end and worker. */

/** Extra space for the JSON before binary tensors that already use the whole limit of a body. */
export const JSON_ROOM_BYTES = 1024 * 1024

/** Maximum size in bytes of the body that a worker sends to another model. */
export function maxCallBytes({
  maxBodyBytes,
  maxResponseBytes,
}: {
  readonly maxBodyBytes: number
  readonly maxResponseBytes: number
}): number {
  return Math.max(maxBodyBytes, maxResponseBytes) + JSON_ROOM_BYTES
}

/** Reads values of foreign JSON files. A value of another type counts as absent. */

/** A JSON object. */
export type Fields = Readonly<Record<string, unknown>>

const NONE: Fields = {}

/** Returns a JSON object; an empty one for any other value. */
export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : NONE
}

/** Whether a value is a JSON object. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

export function flagOf(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Whether a value of JSON has more than this number of lists and objects in one another. */
export function hasMoreLevels(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((one) => hasMoreLevels(one, levels - 1))
}

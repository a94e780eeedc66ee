/** Compares two JSON values member by member. */
import { shown, unlike } from './comparison.ts'
import type { Scalar, Tolerance, Values } from './comparison.ts'
import type { Findings } from './findings.ts'
import { compareLists } from './lists.ts'
import { limitsFor } from './rules.ts'
import { compareTensors } from './tensors.ts'

/** The name of a response that is not an object. */
const WHOLE = 'response'

/** What the steps of one comparison share. */
export interface Walk {
  readonly tolerance: Tolerance
  readonly findings: Findings
}

/**
 * Compares two values, whose nesting must be limited: it calls itself once per level.
 * @param name Of the values; empty for a whole response.
 */
export function compareTrees(one: unknown, other: unknown, walk: Walk, name = ''): void {
  visit(one, other, name, walk)
}

function visit(one: unknown, other: unknown, path: string, walk: Walk): void {
  const name = path === '' ? WHOLE : path
  const { tolerance, findings } = walk
  if (Array.isArray(one) && Array.isArray(other)) return visitLists(one, other, path, walk)
  if (isFields(one) && isFields(other)) return visitMembers(one, other, path, walk)
  if (one === other) return findings.addEqual(name)
  if (isScalar(one) && isScalar(other)) {
    const scalar = { name, datatype: '', shape: [] }
    const found = compareTensors(
      { ...scalar, data: [one] },
      { ...scalar, data: [other] },
      tolerance,
    )
    return findings.add(found)
  }
  findings.add(unlike(name, `it is ${kindOf(other)} instead of ${kindOf(one)}`))
}

function visitLists(
  one: readonly unknown[],
  other: readonly unknown[],
  path: string,
  walk: Walk,
): void {
  const name = path === '' ? WHOLE : path
  const { tolerance, findings } = walk
  const found = compareLists(name, one, other, limitsFor('', tolerance))
  if (found !== undefined) return findings.add(found)
  const first = valuesOf(one)
  const second = first && valuesOf(other)
  if (first !== undefined && second !== undefined) {
    return findings.add(compareTensors({ name, ...first }, { name, ...second }, tolerance))
  }
  if (one.length !== other.length)
    return findings.add(unlike(name, `it has ${other.length} elements instead of ${one.length}`))
  for (const [index, element] of one.entries()) visit(element, other[index], `${path}[]`, walk)
}

type Fields = Readonly<Record<string, unknown>>

function visitMembers(one: Fields, other: Fields, path: string, walk: Walk): void {
  const { findings } = walk
  const missing = missingIn(other, one)
  if (missing !== undefined)
    findings.add(unlike(joined(path, missing), 'the response has no such member'))
  const added = missingIn(one, other)
  if (added !== undefined)
    findings.add(unlike(joined(path, added), 'only this response has this member'))
  for (const [key, value] of Object.entries(one))
    if (Object.hasOwn(other, key)) visit(value, other[key], joined(path, key), walk)
}

function missingIn(fields: Fields, all: Fields): string | undefined {
  return Object.keys(all).find((key) => !Object.hasOwn(fields, key))
}

function joined(path: string, key: string): string {
  const text = shown(key).slice(1, -1)
  return path === '' ? text : `${path}.${text}`
}

/**
 * The elements of nested lists with scalars, if all lists of a level have the same size; otherwise
 * `undefined`.
 */
export function valuesOf(list: readonly unknown[]): Values | undefined {
  const shape: number[] = []
  for (let level: unknown = list; Array.isArray(level); level = level[0]) shape.push(level.length)
  const data: Scalar[] = []
  return collect(list, shape, 0, data) ? { datatype: '', shape, data } : undefined
}

function collect(
  list: readonly unknown[],
  shape: readonly number[],
  level: number,
  into: Scalar[],
): boolean {
  if (list.length !== shape[level]) return false
  const isLast = level === shape.length - 1
  for (const value of list) {
    if (isLast) {
      if (!isScalar(value)) return false
      into.push(value)
    } else if (!Array.isArray(value) || !collect(value, shape, level + 1, into)) return false
  }
  return true
}

function isScalar(value: unknown): value is Scalar {
  return value === null || (typeof value !== 'object' && value !== undefined)
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list'
  return isFields(value) ? 'an object' : shown(value)
}

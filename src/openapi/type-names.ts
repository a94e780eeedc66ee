/** Names of types and operations out of names of models, for generated clients. */
import { createHash } from 'node:crypto'

/** A model, by its default version or by one that is named. */
export interface Named {
  readonly name: string
  readonly version?: string | undefined
}

/** Digits of the hash that tells equal names apart. */
const HASH_DIGITS = 6

/**
 * Such as `MyModel` for the model `my-model` and `MyModelV1_0` for its version 1.0: an identifier in every
 * language. Models that would get the same one, case and underscores aside, or one that `isTaken`, get a hash
 * of their own name behind it; which those are depends on the models only, not on their order.
 */
export function typeNames(
  models: readonly Named[],
  isTaken: (typeName: string) => boolean = () => false,
): string[] {
  const plain = models.map(plainName)
  const counts = new Map<string, number>()
  for (const key of plain.map(keyOf)) counts.set(key, (counts.get(key) ?? 0) + 1)
  return models.map((model, index) => {
    const name = plain[index] ?? ''
    const isUnique = counts.get(keyOf(name)) === 1 && !isTaken(name)
    return isUnique ? name : `${name}_${hashOf(model)}`
  })
}

function plainName({ name, version }: Named): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter((word) => word !== '')
  const pascal = words.map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`).join('')
  const identifier = /^\d/.test(pascal) ? `Model${pascal}` : pascal
  return version === undefined
    ? identifier
    : `${identifier}V${version.replaceAll(/[^A-Za-z0-9]+/g, '_')}`
}

/** What generators make of a name: some drop underscores, some file systems the case. */
function keyOf(name: string): string {
  return name.toLowerCase().replaceAll('_', '')
}

function hashOf({ name, version = '' }: Named): string {
  return createHash('sha256').update(`${name}\0${version}`).digest('hex').slice(0, HASH_DIGITS)
}

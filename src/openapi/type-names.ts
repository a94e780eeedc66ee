/** Makes names of types and operations from the names of models, for generated clients. */
import { createHash } from 'node:crypto'

/** A model, with or without a version. */
export interface Named {
  readonly name: string
  readonly version?: string | undefined
}

/** Length of the hash that makes equal names different, in hexadecimal digits. */
const HASH_DIGITS = 6

/**
 * Returns a name for each model that is an identifier in every language: `MyModel` for the model
 * `my-model`, `MyModelV1_0` for its version 1.0.
 * If two names are equal (case and underscores do not count), or `isTaken` returns true, the name
 * gets a hash of the model's name and version as its suffix. The order of the models does not
 * matter.
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

/**
 * Key by which names are compared. Some generators drop underscores, and some file systems ignore
 * case.
 */
function keyOf(name: string): string {
  return name.toLowerCase().replaceAll('_', '')
}

function hashOf({ name, version = '' }: Named): string {
  return createHash('sha256').update(`${name}\0${version}`).digest('hex').slice(0, HASH_DIGITS)
}

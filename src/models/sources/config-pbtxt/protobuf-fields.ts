import type { ServerError } from '../../../errors.ts'
import type { TextMessage, TextSource, TextValue } from './protobuf-text.ts'

const MAX_INT32 = 2 ** 31 - 1

/**
 * The fields of one message. Each method reads a field as one type, and throws
 * `InvalidModelException` with line and column for any other value.
 */
export class Fields {
  readonly #source: TextSource
  readonly #fields: TextMessage['fields']

  constructor(source: TextSource, message: TextMessage) {
    this.#source = source
    this.#fields = message.fields
  }

  string(name: string): string | undefined {
    const value = this.#single(name)
    if (value === undefined) return undefined
    if (value.kind !== 'string') throw this.#wrong(value, name, 'a string in quotes')
    return value.value
  }

  integer(name: string, minimum: number, maximum = MAX_INT32): number | undefined {
    const value = this.#single(name)
    return value && this.#toInteger(value, name, minimum, maximum)
  }

  integers(name: string, minimum: number, maximum = MAX_INT32): number[] {
    return this.#all(name).map((value) => this.#toInteger(value, name, minimum, maximum))
  }

  boolean(name: string): boolean | undefined {
    const value = this.#single(name)
    if (value === undefined) return undefined
    if (value.kind === 'word' && /^(?:[Tt]rue|t)$/.test(value.value)) return true
    if (value.kind === 'word' && /^(?:[Ff]alse|f)$/.test(value.value)) return false
    if (value.kind === 'integer' && (value.value === 0 || value.value === 1))
      return value.value === 1
    throw this.#wrong(value, name, 'true or false')
  }

  /** Reads a name of an enumeration. */
  word<const T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const value = this.#single(name)
    if (value === undefined) return undefined
    const word = allowed.find((candidate) => value.kind === 'word' && candidate === value.value)
    if (word === undefined) throw this.#wrong(value, name, `one of ${allowed.join(', ')}`)
    return word
  }

  message(name: string): Fields | undefined {
    const value = this.#single(name)
    return value && this.#toFields(value, name)
  }

  messages(name: string): Fields[] {
    return this.#all(name).map((value) => this.#toFields(value, name))
  }

  #all(name: string): readonly TextValue[] {
    return this.#fields.get(name) ?? []
  }

  #single(name: string): TextValue | undefined {
    const [value, second] = this.#all(name)
    if (second !== undefined) throw this.#source.error(second.offset, `${name} occurs twice`)
    return value
  }

  #toInteger(value: TextValue, name: string, minimum: number, maximum: number): number {
    if (value.kind === 'integer' && value.value >= minimum && value.value <= maximum)
      return value.value
    throw this.#wrong(value, name, `an integer from ${minimum} to ${maximum}`)
  }

  #toFields(value: TextValue, name: string): Fields {
    if (value.kind !== 'message') throw this.#wrong(value, name, 'a message in braces')
    return new Fields(this.#source, value)
  }

  #wrong(value: TextValue, name: string, wanted: string): ServerError {
    return this.#source.error(value.offset, `${name} must be ${wanted}`)
  }
}

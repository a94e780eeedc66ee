/** Schemas for the kinds of settings. */
import { Type } from '@sinclair/typebox'
import type { TArray, TBoolean, TInteger, TString, TUnsafe } from '@sinclair/typebox'
import { stringEnum } from '../schema.ts'

export const MIB = 1024 * 1024

export function text(description: string, defaultValue: string): TString {
  return Type.String({ description, default: defaultValue })
}

export function count(
  description: string,
  defaultValue: number,
  minimum = 0,
  maximum = 2 ** 31 - 1,
): TInteger {
  return Type.Integer({ description, default: defaultValue, minimum, maximum })
}

export function flag(description: string, defaultValue: boolean): TBoolean {
  return Type.Boolean({ description, default: defaultValue })
}

export function list(description: string): TArray<TString> {
  return Type.Array(Type.String({ minLength: 1 }), { description, default: [] })
}

export function oneOf<const T extends string>(
  description: string,
  values: readonly T[],
  defaultValue: T,
): TUnsafe<T> {
  return stringEnum(values, { description, default: defaultValue })
}

/** What the keys of other servers become. */

/** The server that a file was written for. */
export type Flavour = 'mms' | 'torchserve'

/**
 * Result of a key: a setting, a MODEL argument, or the reason why it is ignored. One key can have
 * several results.
 */
export type MappedKey =
  | { readonly setting: string; readonly value: unknown; readonly note?: string }
  | { readonly model: string }
  | { readonly reason: string }

/** What a rule may read besides its own value. */
export interface RuleContext {
  readonly flavour: Flavour
  readonly properties: ReadonlyMap<string, string>
}

/** A text is the reason why a key is ignored. */
export type Rule = string | ((value: string, context: RuleContext) => MappedKey[])

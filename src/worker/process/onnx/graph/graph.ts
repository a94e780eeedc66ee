/** An ONNX graph without its weights, with the parts that the proof of batching needs. */

import type { Range } from '../../../../formats/proto-file.ts'

/** A tensor in the file. */
export interface StoredTensor {
  /** `undefined` for a sparse tensor. */
  readonly dims: readonly number[] | undefined
  /** The elements in order, if they are a few numbers in the file itself. */
  readonly values: readonly number[] | undefined
}

/**
 * The value of an attribute. `unread` stands for values that no rule uses, for example long lists.
 */
export type AttributeValue =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'numbers'; readonly values: readonly number[] }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'texts'; readonly count: number }
  | { readonly kind: 'tensor'; readonly tensor: StoredTensor }
  | { readonly kind: 'graph' }
  | { readonly kind: 'unread' }

export interface GraphNode {
  /** The bytes of the node in the file. */
  readonly place: Range
  readonly name: string
  readonly operator: string
  /** Empty for the operators of ONNX itself. */
  readonly domain: string
  /** Names of tensors. An empty name stands for an optional tensor that is left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, AttributeValue>
}

export interface Graph {
  /** Version of each operator set, by domain. */
  readonly operatorSets: ReadonlyMap<string, number>
  /** Sorted so that each node comes after the nodes that produce its inputs. */
  readonly nodes: readonly GraphNode[]
  readonly constants: ReadonlyMap<string, StoredTensor>
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** `domain:name` of the functions that the model defines. */
  readonly functions: ReadonlySet<string>
}

/** Normalizes a domain: ONNX's own domain has two names. */
export function domainName(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain
}

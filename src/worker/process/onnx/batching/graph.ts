/** An ONNX graph without its weights, as far as the proof of batching looks at it. */

/** A tensor of the file. */
export interface StoredTensor {
  /** `undefined` for a sparse tensor. */
  readonly dims: readonly number[] | undefined
  /** The elements, in their order, where they are few numbers that lie in the file itself. */
  readonly values: readonly number[] | undefined
}

/** What an attribute holds; `unread` for what no rule looks at: graphs, long lists. */
export type AttributeValue =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'numbers'; readonly values: readonly number[] }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'texts'; readonly count: number }
  | { readonly kind: 'tensor'; readonly tensor: StoredTensor }
  | { readonly kind: 'graph' }
  | { readonly kind: 'unread' }

export interface GraphNode {
  readonly name: string
  readonly operator: string
  /** Empty for the operators of ONNX itself. */
  readonly domain: string
  /** Names of tensors; the empty text stands for an optional one that is left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: ReadonlyMap<string, AttributeValue>
}

export interface Graph {
  /** Version of each operator set, by domain. */
  readonly operatorSets: ReadonlyMap<string, number>
  /** In an order in which they can run. */
  readonly nodes: readonly GraphNode[]
  readonly constants: ReadonlyMap<string, StoredTensor>
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** `domain:name` of functions that the model brings along. */
  readonly functions: ReadonlySet<string>
}

/** How a domain is written: ONNX's own has two names. */
export function domainName(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain
}

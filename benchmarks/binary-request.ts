/** A request of the Open Inference Protocol with a binary tensor: its body and its headers. */
export interface BinaryRequest {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/** Name, datatype and shape of a tensor. */
export interface TensorFacts {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

/** Also asks for binary outputs. */
export function binaryRequest(tensor: TensorFacts, data: Buffer): BinaryRequest {
  const input = { ...tensor, parameters: { binary_data_size: data.length } }
  const head = Buffer.from(
    JSON.stringify({ inputs: [input], parameters: { binary_data_output: true } }),
  )
  return {
    body: Buffer.concat([head, data]),
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(head.length),
    },
  }
}

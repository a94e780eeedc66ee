/** A body of the Open Inference Protocol with its tensor in binary, and the headers that say so. */
export interface BinaryRequest {
  readonly body: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/** What a tensor is besides its bytes. */
export interface TensorFacts {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

/** Asks for the outputs in binary as well. */
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

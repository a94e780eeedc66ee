/** One expectation of the public tests of MMS or TorchServe, in our own words. */
export interface PeerCase {
  readonly name: string
  /** Inference unless said. */
  readonly to?: 'management'
  /** GET unless said. */
  readonly method?: string
  readonly path: string
  readonly type?: string
  readonly body?: string
  /** What the peer's test expects. */
  readonly status: number
  readonly text?: RegExp
  /** Where onnxd differs: what it answers, and the row of docs/compatibility.md that says why. */
  readonly onnxd?: {
    readonly status: number
    readonly text?: RegExp
    readonly difference: string
  }
}

export const JSON_TYPE = 'application/json'
export const FORM_TYPE = 'application/x-www-form-urlencoded'
export const MULTIPART_TYPE = 'multipart/form-data; boundary=peers'

/** A multipart body with a file, and fields before it. */
export function multipart(file: string, fields: Readonly<Record<string, string>> = {}): string {
  const parts = Object.entries(fields).map(([name, value]) => part(`name="${name}"`, value))
  return `${parts.join('')}${part('name="data"; filename="data.txt"', file)}--peers--\r\n`
}

function part(disposition: string, value: string): string {
  return `--peers\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${value}\r\n`
}

/** What `onnxd inspect` finds. */
import type { OnnxSummary } from './onnx-summary.ts'

/** A file with weights beside the `.onnx` file. */
export interface ExternalFile {
  readonly name: string
  /** Absent if the file is missing. */
  readonly bytes?: number
}

/** Everything that `inspect` prints. */
export interface Inspection {
  readonly model: string
  readonly version: string
  readonly runtime: string
  readonly handler: string
  /** Absent for a model with a custom handler and no `.onnx` file. */
  readonly file?: {
    readonly name: string
    readonly bytes: number
    readonly external: readonly ExternalFile[]
    readonly summary?: OnnxSummary
  }
  /** Inputs and outputs as the worker reports them, else those of the file. */
  readonly inputs: unknown
  readonly outputs: unknown
  readonly load?: {
    readonly ok: boolean
    readonly reason?: string
    readonly ms?: number
    readonly memoryBytes?: number
    readonly batching?: string
  }
  readonly curl?: string
  /** A sentence about the response to an image. */
  readonly response?: string
}

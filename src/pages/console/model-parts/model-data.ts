/** The description of a model version in `GET /models/{model}/{version}`, as far as it is shown. */

/** An input or output. */
export interface TensorInfo {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly (number | string)[]
}

/** A value with its origin. */
export interface SettingInfo {
  readonly value: unknown
  readonly from: string
}

export interface VersionDescription {
  readonly modelUrl: string
  readonly runtime: string
  readonly settings: Readonly<Record<string, SettingInfo>>
  readonly weights?: { readonly state: string; readonly bytes?: number; readonly reason?: string }
  readonly metadata?: {
    readonly inputs?: readonly TensorInfo[]
    readonly outputs?: readonly TensorInfo[]
  }
}

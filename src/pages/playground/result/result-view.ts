/** The ways to show a response. */

/** A label with a number. */
export interface Bar {
  readonly label: string
  readonly value: number
}

/** An object in an image; `box` is left, top, right, bottom in pixels. */
export interface Detection {
  readonly label: string
  readonly index: number
  readonly score: number
  readonly box: readonly [number, number, number, number]
}

/** A class in an image. */
export interface Area {
  readonly label: string
  readonly index: number
  readonly share: number
}

/** A part of a text; positions count code points. */
export interface Span {
  readonly label: string
  readonly score: number
  readonly start: number
  readonly end: number
}

/** One way to show a response or a part of it. */
export type ResultView =
  | {
      readonly kind: 'bars'
      readonly title: string
      readonly bars: readonly Bar[]
      /** Whether the bars keep their order; else the highest is the first. */
      readonly isOrdered?: boolean
    }
  | { readonly kind: 'detections'; readonly items: readonly Detection[] }
  | {
      readonly kind: 'mask'
      readonly width: number
      readonly height: number
      readonly areas: readonly Area[]
      /** A PNG in base64. */
      readonly mask: string
    }
  | { readonly kind: 'spans'; readonly text: string; readonly spans: readonly Span[] }
  | { readonly kind: 'vector'; readonly title: string; readonly values: readonly number[] }
  | {
      readonly kind: 'table'
      readonly title: string
      readonly columns: readonly string[]
      readonly rows: readonly (readonly string[])[]
    }

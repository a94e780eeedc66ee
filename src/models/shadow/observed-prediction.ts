/** What the server may do with a prediction besides sending it. */
import type { PredictOptions } from '../scheduling/predict-options.ts'
import type { RequestTiming } from '../scheduling/prediction.ts'
import type { Header, Parameter, Prediction } from '../scheduling/queue/job.ts'

/** A prediction that a client gets. Its memory is used again after the call that passes it on. */
export interface ObservedPrediction {
  readonly model: { readonly name: string; readonly version: string }
  readonly headers: readonly Header[]
  readonly parameters: readonly Parameter[]
  readonly options: PredictOptions
  readonly response: Prediction
  readonly accepted: {
    readonly timing: RequestTiming
    /** `stream` is absent unless the response comes in chunks, which are not in `response`. */
    readonly job: { readonly stream: unknown }
  }
}

/** Sees each prediction before the memory of its request is released. */
export interface PredictionObserver {
  /** Must return at once and not throw: the client waits. */
  observe(prediction: ObservedPrediction): void
}

import type { WireRequest } from '../../../wire/messages.ts'
import type { Decoded, OwnRuns, RequestCodec } from '../codec.ts'
import type { RequestHeaders } from '../headers.ts'

/** A codec whose code is loaded with its first request, because few workers need it. */
export class LateCodec<Result extends Decoded | OwnRuns = Decoded> implements RequestCodec<Result> {
  readonly #load: () => Promise<RequestCodec<Result>>
  #codec: RequestCodec<Result> | undefined

  constructor(load: () => Promise<RequestCodec<Result>>) {
    this.#load = load
  }

  decode(request: WireRequest, headers: RequestHeaders): Result | Promise<Result> {
    return this.#codec?.decode(request, headers) ?? this.#decodeFirst(request, headers)
  }

  async #decodeFirst(request: WireRequest, headers: RequestHeaders): Promise<Result> {
    const codec = (this.#codec ??= await this.#load())
    return codec.decode(request, headers)
  }
}

import type { WireRequest } from '../../../wire/messages.ts'
import type { Decoded, RequestCodec } from '../codec.ts'
import type { RequestHeaders } from '../headers.ts'

/** A codec whose code is loaded with its first request, because few workers need it. */
export class LateCodec implements RequestCodec {
  readonly #load: () => Promise<RequestCodec>
  #codec: RequestCodec | undefined

  constructor(load: () => Promise<RequestCodec>) {
    this.#load = load
  }

  decode(request: WireRequest, headers: RequestHeaders): Decoded | Promise<Decoded> {
    return this.#codec?.decode(request, headers) ?? this.#decodeFirst(request, headers)
  }

  async #decodeFirst(request: WireRequest, headers: RequestHeaders): Promise<Decoded> {
    const codec = (this.#codec ??= await this.#load())
    return codec.decode(request, headers)
  }
}

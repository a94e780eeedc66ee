import type { FastifyBaseLogger } from 'fastify'
import type { App } from './route-context.ts'

/** Counts the requests of an app that are not answered yet, so that closing need not wait for idle clients. */
export class OpenRequests {
  readonly #app: App
  #count = 0
  #notify: (() => void) | undefined

  constructor(app: App) {
    this.#app = app
    // 'close' of the response comes after the last byte, and also when the client leaves before; no hook does both.
    app.addHook('onRequest', (_request, reply, done) => {
      this.#count += 1
      reply.raw.once('close', () => {
        this.#count -= 1
        if (this.#count === 0) this.#notify?.()
      })
      done()
    })
  }

  /**
   * Stops listening and closes the app once every accepted request is answered, or after `drainMs`.
   * Fastify waits for connections instead, and a client may keep one open for minutes without a request.
   */
  async close(drainMs: number, log: FastifyBaseLogger): Promise<void> {
    const closed = this.#app.close()
    const answered = new Promise<void>((resolve) => {
      this.#notify = resolve
      if (this.#count === 0) resolve()
    })
    const timer = setTimeout(() => {
      log.warn({ open: this.#count }, 'requests were cut off')
      this.#notify?.()
    }, drainMs)
    await Promise.race([answered, closed])
    clearTimeout(timer)
    this.#app.server.closeAllConnections()
    await closed
  }
}

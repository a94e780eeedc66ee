/** Block W: workers that die, hang or misbehave. */
import { handlerModel } from '../helpers/handler-model.ts'
import { assertError, block } from './harness.ts'

const row = block({ models: (t) => [handlerModel(t, 'tool')] })

row('W07', 'a handler that never ends costs one 504 and its worker', async (server) => {
  assertError(await server.predict('tool', 'spin'), 504)
})

/**
 * A bare Fastify server that returns the first bytes of each body. It sends its URL to the parent
 * process.
 */
import process from 'node:process'
import Fastify from 'fastify'

const ANSWER_BYTES = 40

const app = Fastify()
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.post('/', (request, reply) => {
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  return reply.type('application/octet-stream').send(body.subarray(0, ANSWER_BYTES))
})
process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))

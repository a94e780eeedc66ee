/** A bare Fastify that answers with the first bytes of what it gets; tells its parent the URL. */
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

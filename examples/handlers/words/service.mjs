/** Counts the words of each request. The shortest handler there is: one function. */
export function handle(data, context) {
  // Once, when the model is loaded, there is no data.
  if (data === undefined) return undefined
  return data.map(({ body }, index) => {
    if (typeof body === 'string' || Buffer.isBuffer(body))
      return { words: countWords(String(body)) }
    // The body is JSON, for example null. The other requests of the batch get their results.
    context.setResponseStatus(400, 'Bad Request', index)
    context.setResponseContentType(index, 'application/json')
    return { code: 400, type: 'InvalidInputException', message: 'Send a text.' }
  })
}

const countWords = (text) => text.match(/\S+/g)?.length ?? 0

/** Counts to the number in the body. Each number is sent when it is counted. */
import { setTimeout as delay } from 'node:timers/promises'

export function handle(data, context) {
  if (data === undefined) return undefined
  return data.map(({ body }, index) => {
    const last = numberOf(body)
    if (last >= 1 && last <= 100) return count(last)
    context.setResponseStatus(400, 'Bad Request', index)
    context.setResponseContentType(index, 'application/json')
    return { code: 400, type: 'InvalidInputException', message: 'Send a number from 1 to 100.' }
  })
}

/** Only digits are a number: "0x10" and an object are none. */
function numberOf(body) {
  const text = Buffer.isBuffer(body) || typeof body === 'number' ? String(body) : body
  return typeof text === 'string' && /^\d{1,3}$/.test(text.trim()) ? Number(text) : NaN
}

async function* count(last) {
  for (let number = 1; number <= last; number++) {
    await delay(100)
    yield { number }
  }
}

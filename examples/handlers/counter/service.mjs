/** Counts to the number in the body. Each number is sent when it is counted. */
import { setTimeout as delay } from 'node:timers/promises'

export function handle(data, context) {
  if (data === undefined) return undefined
  return data.map(({ body }) => {
    const last = Number(body)
    if (Number.isInteger(last) && last >= 1 && last <= 100) return count(last)
    throw new context.PredictionException('Send a number from 1 to 100.', 400)
  })
}

async function* count(last) {
  for (let number = 1; number <= last; number++) {
    await delay(100)
    yield { number }
  }
}

import { signal } from '@preact/signals'

const SHOWN_MS = 8000

/** The result of the last action, shown for some seconds. */
export const message = signal('')
let timer: ReturnType<typeof setTimeout> | undefined

/** Shows the result of an action. */
export function say(text: string): void {
  message.value = text
  clearTimeout(timer)
  timer = setTimeout(() => {
    message.value = ''
  }, SHOWN_MS)
}

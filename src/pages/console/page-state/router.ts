import { signal } from '@preact/signals'
import { routeOf } from '../logic/route.ts'
import type { Route } from '../logic/route.ts'

/** What the page shows. */
export const route = signal<Route>(routeOf(location.hash))

let isFirst = true

/** Whether the page still shows the view that it was opened with. */
export function isFirstView(): boolean {
  return isFirst
}

/** Follows the address from now on. Call it once. */
export function followAddress(): void {
  addEventListener('hashchange', () => {
    isFirst = false
    route.value = routeOf(location.hash)
  })
}

/** Goes to an address, as a link does. */
export function goTo(address: string): void {
  location.hash = address
}

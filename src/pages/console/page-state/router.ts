import { signal } from '@preact/signals'
import { routeOf } from '../logic/route.ts'
import type { Route } from '../logic/route.ts'

/** What the page shows. */
export const route = signal<Route>(routeOf(location.hash))

/** Follows the address from now on. Call it once. */
export function followAddress(): void {
  addEventListener('hashchange', () => {
    route.value = routeOf(location.hash)
  })
}

/** Goes to an address, as a link does. */
export function goTo(address: string): void {
  location.hash = address
}

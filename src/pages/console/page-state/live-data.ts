/** The live data of the page, and the tracks that follow its counters. */
import { signal } from '@preact/signals'
import type { Live } from '../logic/live.ts'
import { Track, readingOf, totalOf } from '../logic/track.ts'
import { keyOf } from '../logic/version-facts.ts'

/** The state of the server; `undefined` until the first event. */
export const live = signal<Live | undefined>(undefined)

let total = new Track()
let tracks = new Map<string, Track>()

/** Takes the state after an event. */
export function update(now: Live): void {
  total.add(totalOf(now.versions, now.time))
  tracks = new Map(
    now.versions.map((version) => {
      const key = keyOf(version)
      const track = tracks.get(key) ?? new Track()
      track.add(readingOf(version, now.time))
      return [key, track]
    }),
  )
  live.value = now
}

/** Forgets everything, because another operator may sign in. */
export function forget(): void {
  total = new Track()
  tracks = new Map()
  live.value = undefined
}

/** The track of all versions together. Read it where `live` is read. */
export function totalTrack(): Track {
  return total
}

/** The track of a version; an empty one for an unknown version. */
export function trackOf(version: { readonly name: string; readonly version: string }): Track {
  return tracks.get(keyOf(version)) ?? new Track()
}

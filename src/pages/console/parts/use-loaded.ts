import { useEffect, useState } from 'preact/hooks'
import { client } from '../page-state/client.ts'

/** Data that is read once, and again by `reload`. */
export interface Loaded<T> {
  readonly data: T | undefined
  readonly error: unknown
  readonly reload: () => void
}

/**
 * Reads JSON from the server when the view opens, and when `path` or `key` changes.
 * The server is the one that this page belongs to, so the form of the data is not checked.
 */
export function useLoaded<T>(path: string, key = ''): Loaded<T> {
  const [data, setData] = useState<T>()
  const [error, setError] = useState<unknown>()
  const [round, setRound] = useState(0)
  useEffect(() => {
    const stop = new AbortController()
    client.json(path, { signal: stop.signal }).then(
      (value) => {
        setError(undefined)
        setData(value as T)
      },
      (reason: unknown) => {
        if (!stop.signal.aborted) setError(reason)
      },
    )
    return () => stop.abort()
  }, [path, key, round])
  return { data, error, reload: () => setRound(round + 1) }
}

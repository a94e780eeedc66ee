/** Whether a streamed response is sent as server-sent events. Both processes decide it alike. */

/** The media type of server-sent events. */
export const EVENT_STREAM = 'text/event-stream'

/** Whether the headers of a request ask for server-sent events. The last `Accept` counts. */
export function wantsEvents(headers: readonly (readonly [name: string, value: string])[]): boolean {
  const accept = headers.findLast(([name]) => name.toLowerCase() === 'accept')?.[1] ?? ''
  return accept.split(',').some((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    return type === EVENT_STREAM && !parameters.some((one) => /^q=0(?:\.0*)?$/.test(one))
  })
}

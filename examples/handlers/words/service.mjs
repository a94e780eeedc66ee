/** Counts the words of each request. The shortest handler there is: one function. */
export function handle(data) {
  // Once, when the model is loaded, there is no data.
  if (data === undefined) return undefined
  return data.map(({ body }) => ({ words: body.toString().trim().split(/\s+/).length }))
}

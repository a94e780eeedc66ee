/** Reporter of the test runner: for each test that fails, a line of JSON with its file and name. */
import path from 'node:path'

export default async function* failedFiles(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:fail' || data.todo !== undefined) continue
    // A file whose process fails is reported as a test with the path as its name.
    const file = path.relative('', data.file ?? data.name)
    yield `${JSON.stringify({ file, name: data.name })}\n`
  }
}

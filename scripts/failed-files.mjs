/** Reporter of Node's test runner that prints the path of the file of each test that fails. */
import path from 'node:path'

export default async function* failedFiles(events) {
  for await (const { type, data } of events) {
    // A file whose process fails is reported as a test with the path as its name.
    if (type === 'test:fail' && data.todo === undefined)
      yield `${path.relative('', data.file ?? data.name)}\n`
  }
}

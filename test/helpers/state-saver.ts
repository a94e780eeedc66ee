/**
 * A process that saves one state after another and prints the number of each saved state. Tests
 * kill it.
 */
import { writeSync } from 'node:fs'
import { StateFile } from '../../src/models/state/state-file.ts'

const [folder = '', first = '0', padding = ''] = process.argv.slice(2)
// Without a handler this signal would kill the process. With it, a write at the limit of file sizes
// is short, as on a full disk.
process.on('SIGXFSZ', () => {})
const file = new StateFile(folder)
await file.load()
for (let number = Number(first); ; number++) {
  await file.save({
    models: [
      {
        url: `m-${number}${padding}`,
        name: 'm',
        version: '1.0',
        options: { workers: 1 },
        isDefault: true,
      },
    ],
  })
  writeSync(1, `${number}\n`)
}

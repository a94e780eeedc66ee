/** A process that saves state after state and says of each, once it is saved, its number. It is made to be killed. */
import { writeSync } from 'node:fs'
import { StateFile } from '../../src/models/state/state-file.ts'

const [folder = '', first = '0', padding = ''] = process.argv.slice(2)
// At a limit of file sizes a write then ends short, as on a full disk.
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

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { runOnnxd } from '../../helpers/command-line.ts'
import { temporaryFolder } from '../../helpers/server.ts'

const COMPLETE = `
complete_words() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _onnxd; echo "\${COMPREPLY[*]}"
}
complete_words onnxd be
complete_words onnxd bench --ra
complete_words onnxd serve --batch-s
complete_words onnxd cache cl
`

test('bash completes commands, flags and settings', async (t) => {
  const { code, stdout } = await runOnnxd(['completion', 'bash'])
  assert.equal(code, 0)
  const bash = spawnSync('bash', ['-c', `${stdout}${COMPLETE}`], {
    encoding: 'utf8',
    // Files of the folder are completed too.
    cwd: temporaryFolder(t),
  })
  assert.equal(bash.stdout, 'bench\n--rate\n--batch-size\nclear\n', bash.stderr)
})

test('zsh and fish get every command, and an unknown shell the known ones', async () => {
  const [zsh, fish, other] = await Promise.all(
    ['zsh', 'fish', 'bsh'].map((shell) => runOnnxd(['completion', shell])),
  )
  assert.match(zsh?.stdout ?? '', /^autoload -U \+X bashcompinit && bashcompinit\n/)
  for (const name of ['serve', 'run', 'bench', 'doctor']) {
    assert.ok(fish?.stdout.includes(`-a ${name} -d `), name)
  }
  assert.equal(other?.code, 2)
  assert.match(other?.stderr ?? '', /unknown shell "bsh"\. Did you mean bash\?/)
})

/** `onnxd help serve`: lists every flag from the schema of the settings. */
import { ConfigSchema, flagName } from './config.ts'

export function flagHelp(): string {
  const lines = Object.entries(ConfigSchema.properties).map(([key, schema]) => {
    const flag = `--${flagName(key)}${schema.type === 'boolean' ? '' : ` ${schema.type === 'integer' ? 'N' : 'TEXT'}`}`
    const shown = JSON.stringify(schema.default)
    return `  ${flag.padEnd(30)} ${schema.description ?? ''}${shown === '""' || shown === '[]' ? '' : ` Default ${shown}.`}`
  })
  return `Usage: onnxd serve [MODEL…] [flags]\n\n  ${'--config FILE'.padEnd(30)} YAML or JSON file with settings, named as in docs/configuration.md; or a config.properties of MMS or TorchServe.\n${lines.join('\n')}\n`
}

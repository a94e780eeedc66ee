/** Finds environment variables that look like settings but are not. */
import { didYouMean } from '../closest-name.ts'
import { environmentName, serviceVariables } from './layers.ts'

/** The start of a setting's variable name, in any case. */
const OURS = /^onnxd[_-]/i
/**
 * Variables that Kubernetes sets in each pod for a service `onnxd` or `onnxd-…`, besides
 * `…_PORT=tcp://…`.
 */
const SERVICE =
  /^ONNXD(?:_[A-Z0-9]+)*_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/
const SERVICE_URL = /^(?:tcp|udp|sctp):\/\/\S+:\d+$/
/** These variables are no settings, so they are not in the schema. */
const CONFIG_FILE = 'ONNXD_CONFIG'
/** Read by the commands that talk to a running server. */
const OF_COMMANDS = new Set(['ONNXD_URL', 'ONNXD_INFERENCE_URL'])
/** Maximum of lines, so that the list stays readable. */
const MAX_LINES = 20

/**
 * Returns lines for the operator: one per variable that matches no setting, with a suggestion, and
 * one for all variables of Kubernetes. Values are not shown, because they may be secret.
 * @param keys Keys of the settings.
 */
export function ignoredVariables(
  environment: NodeJS.ProcessEnv,
  keys: readonly string[],
): string[] {
  const settings = [CONFIG_FILE, ...keys.map(environmentName)]
  const known = new Set(settings)
  const services = [...serviceVariables(environment).keys()]
  const lines: string[] = []
  for (const [name, value = ''] of Object.entries(environment)) {
    if (!OURS.test(name) || known.has(name) || OF_COMMANDS.has(name)) continue
    const isService = SERVICE.test(name) || (name.endsWith('_PORT') && SERVICE_URL.test(value))
    if (isService) services.push(name)
    else
      lines.push(
        `${shown(name)} is ignored: there is no such setting.${didYouMean(name, settings)}`,
      )
  }
  if (lines.length > MAX_LINES) {
    const rest = lines.length - MAX_LINES
    lines.splice(MAX_LINES, rest, `${rest} more variables are ignored: there are no such settings.`)
  }
  if (services.length > 0) {
    const names = services.toSorted().join(', ')
    lines.push(`These variables are ignored, because Kubernetes sets them for services: ${names}`)
  }
  return lines
}

function shown(name: string): string {
  return name.slice(0, 200).replaceAll(/\p{Cc}/gu, ' ')
}

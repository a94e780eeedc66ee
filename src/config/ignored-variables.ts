/** Environment variables that look like settings and are none. */
import { didYouMean } from '../closest-name.ts'
import { environmentName, serviceVariables } from './layers.ts'

/** Names that begin like those of settings, whatever their case. */
const OURS = /^onnxd[_-]/i
/**
 * What Kubernetes sets in each pod for a service `onnxd` or `onnxd-…`, besides `…_PORT=tcp://…`.
 */
const SERVICE =
  /^ONNXD(?:_[A-Z0-9]+)*_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/
const SERVICE_URL = /^(?:tcp|udp|sctp):\/\/\S+:\d+$/
/** Read where no schema names it. */
const CONFIG_FILE = 'ONNXD_CONFIG'
/** More than so many lines help nobody. */
const MAX_LINES = 20

/**
 * Lines for the operator: one for each variable that is no setting, with the one that was probably
 * meant, and one for all that Kubernetes sets. Values are not shown: they may be secret.
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
    if (!OURS.test(name) || known.has(name)) continue
    const isService = SERVICE.test(name) || (name.endsWith('_PORT') && SERVICE_URL.test(value))
    if (isService) services.push(name)
    else
      lines.push(
        `${shown(name)} is ignored: no setting has this name.${didYouMean(name, settings)}`,
      )
  }
  if (lines.length > MAX_LINES) {
    const rest = lines.length - MAX_LINES
    lines.splice(MAX_LINES, rest, `${rest} more variables are ignored: no setting has their names.`)
  }
  if (services.length > 0) {
    const names = services.toSorted().join(', ')
    lines.push(`Ignored, as Kubernetes sets them for services: ${names}`)
  }
  return lines
}

function shown(name: string): string {
  return name.slice(0, 200).replaceAll(/\p{Cc}/gu, ' ')
}

import process from 'node:process'

/** The first versions of Node with the option `reusePort`. */
const FIRST = { even: [22, 12], odd: [23, 1] } as const

/**
 * Whether several processes can listen on one port, so that the kernel divides the connections
 * evenly. Without it they share one socket, and whoever is idle takes the next connection.
 */
export function canReusePort(
  version = process.versions.node,
  platform = process.platform,
): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [firstMajor, firstMinor] = major === FIRST.odd[0] ? FIRST.odd : FIRST.even
  return (
    platform === 'linux' && (major > firstMajor || (major === firstMajor && minor >= firstMinor))
  )
}

/**
 * Prevents downloads from machines that only this machine can reach. IP addresses are checked in
 * the lookup of the socket that connects, because a second lookup of the name may return other
 * addresses.
 */
import { promises as dns } from 'node:dns'
import type { LookupAddress } from 'node:dns'
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'
import type { LookupFunction } from 'node:net'
import { ServerError } from '../../errors.ts'

/**
 * IPv4 networks that are not public (IANA's registry of special addresses), multicast and reserved
 * ones.
 */
const BLOCKED_IPV4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const

/**
 * IPv6 networks that are not public: everything outside 2000::/3 (loopback, IPv4 in all its forms,
 * NAT64, 100::/64, fc00::/7, fe80::/10, fec0::/10, multicast), and the parts of it that lead to
 * IPv4 or nowhere: Teredo and other protocols, documentation, 6to4.
 */
const BLOCKED_IPV6 = [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const

// Two lists, because one list would also apply the rules for ::ffff:0:0/96 to IPv4 addresses.
const blockedIpv4 = new BlockList()
const blockedIpv6 = new BlockList()
for (const [network, prefix] of BLOCKED_IPV4) blockedIpv4.addSubnet(network, prefix, 'ipv4')
for (const [network, prefix] of BLOCKED_IPV6) blockedIpv6.addSubnet(network, prefix, 'ipv6')

/** Returns the IP addresses of a host. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>

/** Whether a text is a public IP address. */
export function isPublicAddress(address: string): boolean {
  const [plain = ''] = address.split('%')
  if (isIPv4(plain)) return !blockedIpv4.check(plain, 'ipv4')
  return isIPv6(plain) && !blockedIpv6.check(plain, 'ipv6')
}

/**
 * Checks a URL whose host is an IP address: Node connects to it without a lookup.
 * @throws ServerError 403.
 */
export function checkHostAddress(hostname: string): void {
  const host = hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw notPublic(hostname)
}

/**
 * Returns a lookup for sockets. It fails with a {@link ServerError} if any IP address of the host
 * is not public.
 */
export function guardedLookup(
  allowPrivateAddresses: boolean,
  resolve: Resolve = resolveAll,
): LookupFunction {
  return (host, options, found) => {
    const find = async (): Promise<LookupAddress[]> => {
      const addresses = await resolve(host)
      if (!allowPrivateAddresses && !addresses.every(({ address }) => isPublicAddress(address))) {
        throw notPublic(host)
      }
      return addresses.filter(
        ({ family }) => !isFamily(options.family) || family === options.family,
      )
    }
    find().then(
      (addresses) => {
        const [first] = addresses
        if (first === undefined) found(new Error(`No address of ${host} was found`), '')
        else if (options.all === true) found(null, addresses)
        else found(null, first.address, first.family)
      },
      (error: unknown) => found(error instanceof Error ? error : new Error(String(error)), ''),
    )
  }
}

function isFamily(family: number | string | undefined): boolean {
  return family === 4 || family === 6
}

function resolveAll(host: string): Promise<LookupAddress[]> {
  return dns.lookup(host, { all: true })
}

function notPublic(host: string): ServerError {
  const text = `Models cannot be downloaded from ${host}: its IP address is not public.`
  return new ServerError('BadRequestException', text, { statusCode: 403 })
}

// SPDX-License-Identifier: GPL-2.0-or-later
// A network as a picture: what it leads to above, its switch, who is on it below.
import type { Network, NetworkPortStatus } from '../api'
import { t } from '../i18n'
import { machineHref } from '../route'

const WIDTH = 640
const BOX = 148
const GAP = 14
const PER_ROW = Math.floor((WIDTH + GAP) / (BOX + GAP))
const SWITCH_Y = 96
const ROW = 84

interface Guest {
  key: string
  name: string
  href?: string
  address?: string
  plugged: boolean
}

/** Those that are plugged in, and those whose definition leads here. */
function guestsOf(network: Network): Guest[] {
  const ports = (network.ports ?? []).filter((port) => port.mac)
  const left = [...network.machines]
  const guests = ports.map((port: NetworkPortStatus): Guest => {
    const at = left.findIndex((machine) => machine.name === port.name)
    const machine = at < 0 ? undefined : left.splice(at, 1)[0]
    return { key: port.mac ?? port.name, name: port.name, href: machine && machineHref(machine.id), address: port.address ?? port.mac, plugged: true }
  })
  for (const machine of left)
    guests.push({ key: `${machine.id}-${machine.adapter}`, name: machine.name, href: machineHref(machine.id), address: t(`state.${machine.state}`), plugged: false })
  return guests.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))
}

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text)

function Box({ x, y, title, text, tone }: { x: number; y: number; title: string; text?: string; tone: string }) {
  return (
    <g class={`net-box ${tone}`} transform={`translate(${x} ${y})`}>
      <rect width={BOX} height={text ? 50 : 34} rx="8" />
      <text x={BOX / 2} y={text ? 21 : 22} class="net-title">{cut(title, 19)}</text>
      {text && <text x={BOX / 2} y="39" class="net-text">{cut(text, 22)}</text>}
    </g>
  )
}

/** Where the network leads to; an internal one leads nowhere. */
function outside(network: Network): string | undefined {
  const { kind, interface: host } = network.definition
  if (kind === 'nat' && network.uplink?.through === 'kernel') return t('network.out.kernel', { interface: network.uplink.outside ?? '' })
  if (kind === 'nat') return t('network.out.nat')
  if (kind === 'host-only') return t('network.out.host', { interface: host ?? '' })
  if (kind === 'external') return t('network.out.external', { interface: host ?? '' })
  return undefined
}

/** Through what of the host, in a word or two. */
function through(network: Network): string | undefined {
  const { through: way, bridge } = network.uplink ?? {}
  if (!way || way === 'user' || way === 'tap' || way === 'kernel') return undefined
  return way === 'bridge' ? t('network.way.bridge', { bridge: bridge ?? '' }) : t(`network.through.${way}`)
}

export function NetworkDrawing({ network }: { network: Network }) {
  const guests = guestsOf(network)
  const rows = Math.ceil(guests.length / PER_ROW)
  const out = outside(network)
  const served = network.definition.subnet
  const middle = WIDTH / 2
  const height = SWITCH_Y + 34 + Math.max(1, rows) * ROW
  const upper = [...(out ? [{ title: out, tone: 'way-out', text: through(network) }] : []), ...(served ? [{ title: t('network.servers'), tone: 'servers', text: served }] : [])]
  return (
    <svg class="net-drawing" viewBox={`0 0 ${WIDTH} ${height}`} role="group" aria-label={t('network.drawing', { name: network.name, count: guests.length })}>
      {upper.map((box, i) => {
        const x = middle - (upper.length * (BOX + GAP) - GAP) / 2 + i * (BOX + GAP)
        return (
          <>
            <path class="net-cable" d={`M${x + BOX / 2} ${box.text ? 58 : 42}V${SWITCH_Y}`} />
            <Box x={x} y={8} title={box.title} text={box.text} tone={box.tone} />
          </>
        )
      })}
      {guests.map((guest, i) => {
        const row = Math.floor(i / PER_ROW)
        const inRow = Math.min(PER_ROW, guests.length - row * PER_ROW)
        const x = middle - (inRow * (BOX + GAP) - GAP) / 2 + (i % PER_ROW) * (BOX + GAP)
        const y = SWITCH_Y + 34 + 26 + row * ROW
        const box = <Box x={x} y={y} title={guest.name} text={guest.address} tone={guest.plugged ? 'guest' : 'guest away'} />
        // Cables of lower rows pass between the boxes of upper ones.
        const down = row ? `M${x - GAP / 2} ${SWITCH_Y + 34}V${y - 12}H${x + BOX / 2}V${y}` : `M${x + BOX / 2} ${SWITCH_Y + 34}V${y}`
        return (
          <>
            <path class={`net-cable${guest.plugged ? '' : ' away'}`} d={down} />
            {guest.href ? <a href={guest.href}>{box}</a> : box}
          </>
        )
      })}
      <g class="net-switch">
        <rect x="8" y={SWITCH_Y} width={WIDTH - 16} height="34" rx="8" />
        <text x={middle} y={SWITCH_Y + 22} class="net-title">{cut(network.name, 40)}</text>
      </g>
      {!guests.length && <text x={middle} y={SWITCH_Y + 74} class="net-text">{t('network.nobody')}</text>}
    </svg>
  )
}

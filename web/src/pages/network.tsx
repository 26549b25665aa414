// SPDX-License-Identifier: GPL-2.0-or-later
// One network: its drawing, what passes its ports, addresses it has given, captures.
import { useEffect, useState } from 'preact/hooks'
import { BASE, call, get, type Network, type NetworkPort, type NetworkPortStatus, type NetworkUplink } from '../api'
import { bytes, count, dateTime } from '../format'
import { t } from '../i18n'
import { go, networkHref } from '../route'
import { attempt, errorText } from '../store'
import { Button, Confirm, Dialog, Menu, PageHead, Spark, useLoad, type MenuItem } from '../ui/parts'
import { NetworkDrawing } from './network-drawing'
import { NetworkBadge, NetworkForm, PortFields } from './networks'
import { ObjectPermissions } from './users'

const REFRESH_MS = 5000

interface Lease {
  mac: string
  address: string
  address6?: string
  ends: number
  name: string
}
interface History {
  seconds: number
  'in-bytes': number[]
  'out-bytes': number[]
  drops: number[]
}

/** Through what of the host the network leads out, and why through that. */
function wayText(uplink: NetworkUplink): string {
  const way = uplink.through === 'bridge' ? t('network.way.bridge', { bridge: uplink.bridge ?? '' }) : t(`network.way.${uplink.through}`, { interface: uplink.interface ?? '', outside: uplink.outside ?? '' })
  return uplink.reason ? t('network.way-reason', { way, reason: t(`network.reason.${uplink.reason}`) }) : way
}

/** Change a part of the definition. */
async function change(network: Network, body: unknown): Promise<Network | undefined> {
  return attempt(() => call<Network>(`/networks/${encodeURIComponent(network.name)}`, { method: 'PATCH', merge: true, etag: network.etag, body }))
}

function PortDialog({ network, port, onClose, onDone }: { network: Network; port: NetworkPortStatus; onClose: () => void; onDone: () => void }) {
  const rules = network.definition.ports ?? []
  const [draft, setDraft] = useState<NetworkPort>(rules.find((rule) => rule.mac === port.mac) ?? { mac: port.mac ?? '' })
  return (
    <Dialog title={t('network.port.settings', { name: port.name })} onClose={onClose}>
      <form
        onSubmit={async (event) => {
          event.preventDefault()
          const own = JSON.parse(JSON.stringify(draft)) as NetworkPort
          if (await change(network, { ports: [...rules.filter((rule) => rule.mac !== port.mac), own] })) {
            onDone()
            onClose()
          }
        }}
      >
        <p class="muted">{t('network.port.settings-text')}</p>
        <PortFields value={draft} set={(part) => setDraft((old) => ({ ...old, ...part }))} />
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t('action.save-changes')} kind="primary" type="submit" />
        </footer>
      </form>
    </Dialog>
  )
}

function drops(port: NetworkPortStatus): string {
  const reasons = [
    [port.spoofed, 'network.drop.spoofed'],
    [port['vlan-drops'], 'network.drop.vlan'],
    [port['full-drops'], 'network.drop.full'],
  ] as const
  const said = reasons.filter(([n]) => n).map(([n, key]) => t(key, { count: count(n ?? 0) }))
  return said.join(', ') || '0'
}

function Ports({ network, modify, capture, onDone }: { network: Network; modify: boolean; capture?: (mac?: string) => void; onDone: () => void }) {
  const [changing, setChanging] = useState<NetworkPortStatus>()
  const [looking, setLooking] = useState<NetworkPortStatus>()
  const items = (port: NetworkPortStatus): MenuItem[] =>
    port.mac
      ? [
          { label: t('network.port.history'), icon: 'events' as const, onSelect: () => setLooking(port) },
          ...(modify ? [{ label: t('network.port.change'), icon: 'settings' as const, onSelect: () => setChanging(port) }] : []),
          ...(capture ? [{ label: t('network.capture.one'), icon: 'search' as const, onSelect: () => capture(port.mac) }] : []),
        ]
      : []
  const label = (name: string) => (name === 'uplink' ? t('network.port.uplink') : name === 'services' ? t('network.servers') : name)
  return (
    <section class="panel table-wrap">
      <h2 class="table-title">{t('network.ports')}</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">{t('network.port')}</th>
            <th scope="col">{t('network.address')}</th>
            <th scope="col" class="number">{t('network.sent')}</th>
            <th scope="col" class="number">{t('network.received')}</th>
            <th scope="col">{t('network.dropped')}</th>
            <th scope="col"><span class="visually-hidden">{t('network.port.change')}</span></th>
          </tr>
        </thead>
        <tbody>
          {(network.ports ?? []).map((port) => (
            <tr key={port.mac ?? port.name}>
              <th scope="row">
                {port.mac ? port.name : label(port.name)}
                {port.mac && <small class="mono muted">{port.mac}</small>}
              </th>
              <td data-label={t('network.address')}>{port.address ?? '–'}{port['host-name'] && <small>{port['host-name']}</small>}</td>
              <td class="number" data-label={t('network.sent')}>{bytes(port.in.bytes)}</td>
              <td class="number" data-label={t('network.received')}>{bytes(port.out.bytes)}</td>
              <td data-label={t('network.dropped')}>{drops(port)}</td>
              <td class="cell-actions"><Menu items={items(port)} label={t('action.more', { name: port.name })} /></td>
            </tr>
          ))}
        </tbody>
      </table>
      {looking?.mac && (
        <Dialog title={t('network.port.history-of', { name: looking.name })} onClose={() => setLooking(undefined)}>
          <PortHistory network={network} mac={looking.mac} />
        </Dialog>
      )}
      {changing && <PortDialog network={network} port={changing} onClose={() => setChanging(undefined)} onDone={onDone} />}
    </section>
  )
}

/** Give the adapter this address for good. */
function reserve(network: Network, lease: Lease) {
  const dhcp = typeof network.definition.dhcp === 'object' ? network.definition.dhcp : {}
  const others = (dhcp.reservations ?? []).filter((one) => one.mac !== lease.mac)
  return change(network, { dhcp: { reservations: [...others, { mac: lease.mac, address: lease.address, ...(lease.name ? { name: lease.name } : {}) }] } })
}

function Leases({ network, modify, onDone }: { network: Network; modify: boolean; onDone: () => void }) {
  const path = `/networks/${encodeURIComponent(network.name)}/leases`
  const { value, reload } = useLoad(() => get<{ leases: Lease[] }>(path), [path])
  useEffect(() => {
    const timer = setInterval(reload, REFRESH_MS)
    return () => clearInterval(timer)
  })
  const dhcp = typeof network.definition.dhcp === 'object' ? network.definition.dhcp : undefined
  const reserved = (lease: Lease) => dhcp?.reservations?.some((one) => one.mac === lease.mac && one.address === lease.address)
  if (!value?.leases.length) return null
  return (
    <section class="panel table-wrap">
      <h2 class="table-title">{t('network.leases')}</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">{t('network.address')}</th>
            <th scope="col">{t('network.name')}</th>
            <th scope="col">{t('network.lease-ends')}</th>
            <th scope="col"><span class="visually-hidden">{t('network.reserve')}</span></th>
          </tr>
        </thead>
        <tbody>
          {value.leases.map((lease) => (
            <tr key={lease.mac}>
              <th scope="row">{lease.address}{lease.address6 && <small class="mono">{lease.address6}</small>}<small class="mono muted">{lease.mac}</small></th>
              <td data-label={t('network.name')}>{lease.name || '–'}</td>
              <td data-label={t('network.lease-ends')}>{dateTime(new Date(lease.ends * 1000).toISOString())}</td>
              <td class="cell-actions">
                {reserved(lease) ? (
                  <span class="muted">{t('network.reserved')}</span>
                ) : (
                  modify && <Button label={t('network.reserve')} kind="quiet" onClick={async () => { if (await reserve(network, lease)) onDone() }} />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

/** What passed in the last hour, of all machines or of one adapter. */
function useHistory(network: Network, mac?: string) {
  const path = `/networks/${encodeURIComponent(network.name)}/history${mac ? `?mac=${encodeURIComponent(mac)}` : ''}`
  const { value, reload } = useLoad(() => get<History>(path), [path])
  useEffect(() => {
    const timer = setInterval(reload, 2 * REFRESH_MS)
    return () => clearInterval(timer)
  })
  return value
}

const sum = (list: number[]) => list.reduce((all, one) => all + one, 0)

function PortHistory({ network, mac }: { network: Network; mac: string }) {
  const value = useHistory(network, mac)
  if (!value) return <p class="muted">{t('state.loading')}</p>
  const ways = [
    ['in-bytes', 'network.sent'],
    ['out-bytes', 'network.received'],
  ] as const
  return (
    <>
      {ways.map(([key, label]) => (
        <section key={key}>
          <h3>{t(label)}</h3>
          <Spark values={value[key]} max={1024} label={t(label)} />
          <p class="muted">{bytes(sum(value[key]))}</p>
        </section>
      ))}
      <p class="muted">{t('network.port.history-drops', { count: count(sum(value.drops)) })}</p>
    </>
  )
}

function Traffic({ network }: { network: Network }) {
  const value = useHistory(network)
  if (!value) return null
  return (
    <section class="panel">
      <h2>{t('network.traffic')}</h2>
      <Spark values={value['in-bytes']} max={1024} label={t('network.traffic')} />
      <p class="muted">{t('network.traffic-text', { bytes: bytes(sum(value['in-bytes'])), drops: count(sum(value.drops)) })}</p>
    </section>
  )
}

export function NetworkPage({ name }: { name: string }) {
  const path = `/networks/${encodeURIComponent(name)}`
  const { value: network, error, reload } = useLoad(() => get<Network>(path), [path])
  const [dialog, setDialog] = useState<'change' | 'delete'>()
  const [captured, setCaptured] = useState(false)
  useEffect(() => {
    const timer = setInterval(reload, REFRESH_MS)
    return () => clearInterval(timer)
  })
  const back = { href: '#/networks', label: t('nav.networks') }
  if (!network)
    return (
      <>
        <PageHead title={name} back={back} />
        <p class={error ? 'alert error' : 'muted'}>{error ? errorText(error) : t('state.loading')}</p>
      </>
    )
  const may = (right: (typeof network.rights)[number]) => network.rights.includes('full') || network.rights.includes(right)
  const startCapture = async (mac?: string) => {
    await attempt(() => call(`${path}/capture`, { method: 'POST', body: mac ? { mac } : {} }))
    reload()
  }
  const stopCapture = async () => {
    await attempt(() => call(`${path}/capture`, { method: 'DELETE' }))
    setCaptured(true)
    reload()
  }
  const running = network.state === 'running'
  return (
    <>
      <PageHead title={network.name} back={back}>
        {running && may('control') && (network.capturing
          ? <Button icon="pause" label={t('network.capture.stop')} onClick={() => void stopCapture()} />
          : <Button icon="search" label={t('network.capture.start')} onClick={() => void startCapture()} />)}
        {captured && !network.capturing && <a class="button plain" href={`${BASE}${path}/capture`} download={`${network.name}.pcapng`}>{t('network.capture.download')}</a>}
        {may('modify') && <Button icon="edit" label={t('network.change')} onClick={() => setDialog('change')} />}
        {may('remove') && <Button icon="trash" label={t('action.delete')} kind="danger" onClick={() => setDialog('delete')} />}
      </PageHead>
      <div class="machine-state">
        <NetworkBadge network={network} />
        <span class="muted">{t(`network.kind.${network.definition.kind ?? 'internal'}`)}{network.definition.subnet && ` · ${network.definition.subnet}`}</span>
      </div>
      {network.problem && <p class="alert error">{network.problem}</p>}
      <section class="panel">
        <NetworkDrawing network={network} />
        {network.uplink && <p class="muted">{t('network.way-out', { way: wayText(network.uplink) })}</p>}
        {network.definition.server?.notes && <p class="notes">{network.definition.server.notes}</p>}
      </section>
      {running && <Ports network={network} modify={may('modify')} capture={may('control') ? (mac) => void startCapture(mac) : undefined} onDone={reload} />}
      {running && <Leases network={network} modify={may('modify')} onDone={reload} />}
      {running && <Traffic network={network} />}
      {may('permissions') && <ObjectPermissions type="network" object={network.name} />}
      {dialog === 'change' && <NetworkForm network={network} onClose={() => setDialog(undefined)} onDone={reload} />}
      {dialog === 'delete' && (
        <Confirm
          title={t('network.delete-title', { name: network.name })}
          text={t('network.delete-text')}
          action={t('action.delete')}
          danger
          onClose={() => setDialog(undefined)}
          onConfirm={async () => {
            const gone = await attempt(async () => {
              await call(path, { method: 'DELETE' })
              return true
            })
            if (gone) go(networkHref('').replace(/\/$/, ''))
          }}
        />
      )}
    </>
  )
}

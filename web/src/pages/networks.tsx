// SPDX-License-Identifier: GPL-2.0-or-later
// All virtual networks, each with its drawing; and the form that makes and changes one.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, call, get, post, type Network, type NetworkDefinition } from '../api'
import { t } from '../i18n'
import { networkHref } from '../route'
import { errorText, serverMay } from '../store'
import { Button, Checkbox, Dialog, Empty, Field, Input, PageHead, Select, useLoad } from '../ui/parts'
import { NetworkDrawing } from './network-drawing'
import { mergePatch } from './settings'

const REFRESH_MS = 5000
const THROUGH = ['auto', 'bridge', 'macvtap', 'packet'] as const
const KINDS = ['nat', 'internal', 'host-only', 'external'] as const
type Kind = (typeof KINDS)[number]
type Dhcp = Exclude<NetworkDefinition['dhcp'], boolean | undefined>

const list = (text: string) => {
  const words = text.split(/[\s,]+/).filter(Boolean)
  return words.length ? words : undefined
}
const number = (text: string) => (text.trim() === '' ? undefined : Number(text))

export function NetworkBadge({ network }: { network: Network }) {
  const tone = { starting: 'busy', running: 'good', failed: 'held' }[network.state]
  return <span class={`badge tone-${tone}`}>{t(`network.state.${network.state}`)}</span>
}

/** What an object has, without members that are empty. */
function tidy<T extends object>(value: T): T | undefined {
  const kept = Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined && v !== ''))
  return Object.keys(kept).length ? (kept as T) : undefined
}

interface FormProps {
  network?: Network
  onClose: () => void
  onDone: (network: Network) => void
}

function DhcpFields({ draft, set }: { draft: NetworkDefinition; set: (part: Partial<NetworkDefinition>) => void }) {
  const dhcp: Dhcp = typeof draft.dhcp === 'object' ? draft.dhcp : {}
  const on = draft.dhcp !== false
  const put = (part: Partial<Dhcp>) => set({ dhcp: tidy({ ...dhcp, ...part }) ?? true })
  const seconds = t('unit.seconds')
  return (
    <details open={typeof draft.dhcp === 'object'}>
      <summary>{t('network.dhcp')}</summary>
      <Checkbox label={t('network.dhcp-on')} checked={on} onChange={(value) => set({ dhcp: value ? undefined : false })} />
      {on && (
        <div class="two-fields">
          <Input label={t('network.dhcp.start')} value={dhcp.start ?? ''} onInput={(start) => put({ start: start || undefined })} />
          <Input label={t('network.dhcp.end')} value={dhcp.end ?? ''} onInput={(end) => put({ end: end || undefined })} />
          <Input label={t('network.dhcp.gateway')} value={dhcp.gateway ?? ''} onInput={(gateway) => put({ gateway: gateway || undefined })} />
          <Input label={t('network.dhcp.dns')} value={(dhcp.dns ?? []).join(' ')} onInput={(text) => put({ dns: list(text) })} />
          <Input label={t('network.dhcp.wins')} value={(dhcp.wins ?? []).join(' ')} onInput={(text) => put({ wins: list(text) })} />
          <Input label={t('network.dhcp.lease')} value={String(dhcp.lease ?? '')} onInput={(text) => put({ lease: number(text) })} type="number" min={60} unit={seconds} />
          <Input label={t('network.dhcp.renewal')} value={String(dhcp.renewal ?? '')} onInput={(text) => put({ renewal: number(text) })} type="number" min={30} unit={seconds} />
          <Input label={t('network.dhcp.rebinding')} value={String(dhcp.rebinding ?? '')} onInput={(text) => put({ rebinding: number(text) })} type="number" min={45} unit={seconds} />
        </div>
      )}
    </details>
  )
}

function ServerFields({ draft, set }: { draft: NetworkDefinition; set: (part: Partial<NetworkDefinition>) => void }) {
  const text = (key: 'server-address' | 'domain' | 'ipv6' | 'tftp' | 'bootfile' | 'bootfile-efi') => ({
    value: draft[key] ?? '',
    onInput: (value: string) => set({ [key]: value || undefined }),
  })
  // NAT by Yado has IPv6 of its own.
  const prefix = draft.kind !== 'nat' || draft.nat === 'kernel'
  return (
    <>
      <Input label={t('network.subnet')} value={draft.subnet ?? ''} onInput={(subnet) => set({ subnet: subnet || undefined })} hint={t('network.subnet-hint')} />
      {draft.subnet && (
        <>
          <DhcpFields draft={draft} set={set} />
          <details>
            <summary>{t('network.more-servers')}</summary>
            <div class="two-fields">
              <Input label={t('network.server-address')} {...text('server-address')} />
              <Input label={t('network.domain')} {...text('domain')} hint={t('network.domain-hint')} />
              {prefix && <Input label={t('network.ipv6')} {...text('ipv6')} hint={t('network.ipv6-hint')} />}
              {prefix && draft.ipv6 && <Select label={t('network.dhcp6')} value={draft.dhcp6 === 'stateful' ? 'stateful' : draft.dhcp6 === false ? 'off' : 'stateless'} onChange={(value) => set({ dhcp6: value === 'off' ? false : value === 'stateful' ? value : undefined })} options={(['stateless', 'stateful', 'off'] as const).map((value) => ({ value, label: t(`network.dhcp6.${value}`) }))} />}
              <Input label={t('network.tftp')} {...text('tftp')} hint={t('network.tftp-hint')} />
              <Input label={t('network.bootfile')} {...text('bootfile')} />
              <Input label={t('network.bootfile-efi')} {...text('bootfile-efi')} />
            </div>
          </details>
        </>
      )}
    </>
  )
}

/** Make a network, or change one. */
export function NetworkForm({ network, onClose, onDone }: FormProps) {
  const [draft, setDraft] = useState<NetworkDefinition>(network ? structuredClone(network.definition) : { name: '', kind: 'nat', subnet: '10.244.0.0/24' })
  const [problem, setProblem] = useState<string>()
  const [busy, setBusy] = useState(false)
  const set = (part: Partial<NetworkDefinition>) => setDraft((old) => ({ ...old, ...part }))
  const kind: Kind = draft.kind ?? 'internal'
  const needsInterface = kind === 'host-only' || kind === 'external'
  const kernel = kind === 'nat' && draft.nat === 'kernel'
  const choose = (next: Kind) =>
    set({
      kind: next,
      interface: next === 'host-only' || next === 'external' ? (draft.interface ?? '') : undefined,
      through: next === 'external' ? draft.through : undefined,
      nat: next === 'nat' ? draft.nat : undefined,
      ...(next === 'nat' ? { ipv6: undefined, dhcp6: undefined } : { forward: undefined, isolated: undefined }),
    })
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    try {
      const body = JSON.parse(JSON.stringify(draft)) as NetworkDefinition
      const path = network && `/networks/${encodeURIComponent(network.name)}`
      onDone(path ? await call<Network>(path, { method: 'PATCH', merge: true, etag: network.etag, body: mergePatch(network.definition, body) }) : await post<Network>('/networks', body))
      onClose()
    } catch (error) {
      setProblem(error instanceof ApiError ? errorText(error) : String(error))
    }
    setBusy(false)
  }
  return (
    <Dialog title={t(network ? 'network.change' : 'network.create')} onClose={onClose} wide>
      <form class="form-panel" onSubmit={(event) => void submit(event)}>
        {problem && <p class="alert error" role="alert">{problem}</p>}
        <div class="two-fields">
          {!network && <Input label={t('network.name')} value={draft.name} onInput={(name) => set({ name })} maxLength={40} required autofocus />}
          <Select label={t('network.kind')} value={kind} onChange={choose} options={KINDS.map((value) => ({ value, label: t(`network.kind.${value}`) }))} hint={t(`network.kind-hint.${kind}`)} />
          {needsInterface && <Input label={t('network.interface')} value={draft.interface ?? ''} onInput={(value) => set({ interface: value })} maxLength={15} required hint={t('network.interface-hint')} />}
          {kind === 'external' && <Select label={t('network.through')} value={draft.through ?? 'auto'} onChange={(through) => set({ through: through === 'auto' ? undefined : through })} options={THROUGH.map((value) => ({ value, label: t(`network.through.${value}`) }))} hint={t(`network.through-hint.${draft.through ?? 'auto'}`)} />}
          {kind === 'nat' && <Select label={t('network.nat')} value={draft.nat ?? 'user'} onChange={(nat) => set(nat === 'kernel' ? { nat } : { nat: undefined, interface: undefined, ipv6: undefined, dhcp6: undefined })} options={(['user', 'kernel'] as const).map((value) => ({ value, label: t(`network.nat.${value}`) }))} hint={t(`network.nat-hint.${draft.nat ?? 'user'}`)} />}
          {kernel && <Input label={t('network.outside')} value={draft.interface ?? ''} onInput={(value) => set({ interface: value || undefined })} maxLength={15} hint={t('network.outside-hint')} />}
        </div>
        {kind === 'nat' && (
          <>
            <Field label={t('network.forward')} hint={t('network.forward-hint')}>
              {(field) => <textarea {...field} rows={2} value={(draft.forward ?? []).join('\n')} onInput={(event) => set({ forward: list(event.currentTarget.value) })} />}
            </Field>
            <Checkbox label={t('network.isolated')} checked={draft.isolated ?? false} onChange={(isolated) => set({ isolated: isolated || undefined })} />
          </>
        )}
        <ServerFields draft={draft} set={set} />
        <details>
          <summary>{t('network.port-defaults')}</summary>
          <PortFields value={draft} set={set} />
        </details>
        <Field label={t('machine.notes')}>
          {(field) => <textarea {...field} rows={2} maxLength={16384} value={draft.server?.notes ?? ''} onInput={(event) => set({ server: tidy({ notes: event.currentTarget.value }) })} />}
        </Field>
        <footer>
          <Button label={t('action.cancel')} onClick={onClose} />
          <Button label={t(network ? 'action.save-changes' : 'network.create')} kind="primary" type="submit" busy={busy} disabled={!draft.name || (needsInterface && !draft.interface)} />
        </footer>
      </form>
    </Dialog>
  )
}

type Port = Pick<NetworkDefinition, 'vlan' | 'trunk' | 'any-source' | 'promiscuous' | 'apart' | 'rate'>

/** What a port is like: of all, or of one adapter. */
export function PortFields({ value, set }: { value: Port; set: (part: Port) => void }) {
  const flag = (key: 'any-source' | 'promiscuous' | 'apart') => (
    <Checkbox label={t(`network.port.${key}`)} checked={value[key] ?? false} onChange={(on) => set({ [key]: on || undefined })} />
  )
  return (
    <>
      <div class="two-fields">
        <Input label={t('network.port.vlan')} value={String(value.vlan ?? '')} onInput={(text) => set({ vlan: number(text) })} type="number" min={0} max={4094} hint={t('network.port.vlan-hint')} />
        <Input label={t('network.port.trunk')} value={(value.trunk ?? []).join(' ')} onInput={(text) => set({ trunk: list(text)?.map(Number).filter((n) => n >= 1 && n <= 4094) })} hint={t('network.port.trunk-hint')} />
        <Input label={t('network.port.rate')} value={String(value.rate ?? '')} onInput={(rate) => set({ rate: rate || undefined })} hint={t('network.port.rate-hint')} />
      </div>
      {flag('any-source')}
      {flag('promiscuous')}
      {flag('apart')}
    </>
  )
}

export function NetworksPage() {
  const { value, error, reload } = useLoad(() => get<{ networks: Network[] }>('/networks'), [])
  const [making, setMaking] = useState(false)
  useEffect(() => {
    const timer = setInterval(reload, REFRESH_MS)
    return () => clearInterval(timer)
  })
  const networks = [...(value?.networks ?? [])].sort((a, b) => a.name.localeCompare(b.name))
  return (
    <>
      <PageHead title={t('nav.networks')}>
        {serverMay('modify') && <Button icon="plus" label={t('network.create')} kind="primary" onClick={() => setMaking(true)} />}
      </PageHead>
      {!!error && <p class="alert error">{errorText(error)}</p>}
      {!value && !error && <p class="muted">{t('state.loading')}</p>}
      {value && !networks.length && <Empty icon="networks" title={t('network.none')} text={t('network.none-text')} />}
      <div class="net-cards">
        {networks.map((network) => (
          <section class="panel" key={network.name}>
            <header class="panel-head">
              <h2>
                <a href={networkHref(network.name)}>{network.name}</a>
              </h2>
              <NetworkBadge network={network} />
            </header>
            <p class="muted">{t(`network.kind.${network.definition.kind ?? 'internal'}`)}</p>
            {network.problem && <p class="alert error">{network.problem}</p>}
            <NetworkDrawing network={network} />
          </section>
        ))}
      </div>
      {making && <NetworkForm onClose={() => setMaking(false)} onDone={reload} />}
    </>
  )
}

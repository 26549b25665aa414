// SPDX-License-Identifier: GPL-2.0-or-later
// Network adapters of a machine: what they lead to, now and in the definition.
import { useEffect } from 'preact/hooks'
import { call, get, type Adapter, type Definition, type Machine, type Network, type Schemas } from '../api'
import { bytes } from '../format'
import { t } from '../i18n'
import { networkHref } from '../route'
import { attempt, may, serverMay } from '../store'
import { Icon } from '../ui/icon'
import { Button, Checkbox, Field, Input, Mark, Select, useLoad } from '../ui/parts'

type Live = Schemas['FrameCounters']
interface LiveAdapter {
  adapter: number
  model: string
  mac: string
  to: string
  network?: string
  link: boolean
  sent: Live
  received: Live
}
const REFRESH_MS = 5000
const MODELS = ['virtio', 'e1000', '21140', 'rtl8139'] as const
const ADAPTERS_MAX = 8

/** What a definition says: a list, or none. */
function adaptersOf(net: Definition['net']): Adapter[] {
  return Array.isArray(net) ? net : []
}

function leadsTo(adapter: Adapter): string {
  if (adapter.type === 'network' || adapter.type === 'tap') return adapter.name ?? ''
  return t(`adapter.type.${adapter.type}`)
}

function LiveRow({ machine, live, reload }: { machine: Machine; live: LiveAdapter; reload: () => void }) {
  const setLink = async (up: boolean) => {
    await attempt(() => call(`/machines/${machine.id}/adapters/${live.adapter}/link`, { method: 'PUT', body: { up } }))
    reload()
  }
  return (
    <li>
      <Icon name={live.link ? 'networks' : 'unplug'} />
      <span class="path">
        {live.network ? <a href={networkHref(live.network)}>{live.network}</a> : live.to}
        {!live.link && <> · {t('adapter.link-down')}</>}
      </span>
      <span class="muted">
        {live.model} · <span class="mono">{live.mac}</span> · {t('adapter.passed', { received: bytes(live.received.bytes), sent: bytes(live.sent.bytes) })}
      </span>
      {may(machine, 'control') && (
        <Button icon={live.link ? 'unplug' : 'networks'} label={t(live.link ? 'adapter.pull' : 'adapter.plug')} iconOnly kind="quiet" onClick={() => void setLink(!live.link)} />
      )}
    </li>
  )
}

/** On the machine's page: the adapters that it has now, or will have. */
export function AdapterList({ machine }: { machine: Machine }) {
  const on = machine.state === 'running' || machine.state === 'paused'
  const live = useLoad(() => (on ? get<{ adapters: LiveAdapter[] }>(`/machines/${machine.id}/adapters`) : Promise.resolve({ adapters: [] })), [machine.id, on, machine.etag])
  useEffect(() => {
    const timer = setInterval(() => on && live.reload(), REFRESH_MS)
    return () => clearInterval(timer)
  })
  const planned = adaptersOf(machine.definition.net)
  if (!planned.length && !live.value?.adapters.length) return null
  return (
    <>
      <h2>{t('nav.networks')}</h2>
      <ul class="plain-list">
        {on && live.value
          ? live.value.adapters.map((one) => <LiveRow machine={machine} live={one} reload={live.reload} />)
          : planned.map((one) => (
              <li>
                <Icon name="networks" />
                <span class="path">{one.type === 'network' ? <a href={networkHref(one.name ?? '')}>{one.name}</a> : leadsTo(one)}</span>
                <span class="muted">{one.model ?? 'virtio'}</span>
              </li>
            ))}
      </ul>
    </>
  )
}

interface RowProps {
  adapter: Adapter
  number: number
  networks: Network[]
  onChange: (adapter: Adapter) => void
  onRemove: () => void
  error?: string
}

/** The far end as one choice: a network by its name, or one of the other kinds. */
function Row({ adapter, number, networks, onChange, onRemove, error }: RowProps) {
  const names = [...new Set([...networks.map((n) => n.name), ...(adapter.type === 'network' && adapter.name ? [adapter.name] : [])])]
  const options = [
    ...names.map((name) => ({ value: `network:${name}`, label: name })),
    ...(['nat', 'unplugged', ...(serverMay('modify') || adapter.type === 'tap' ? (['tap'] as const) : [])] as const).map((type) => ({ value: type as string, label: t(`adapter.type.${type}`) })),
  ]
  const choose = (value: string) => {
    const { model, mac } = adapter
    const kept = { ...(model ? { model } : {}), ...(mac ? { mac } : {}) }
    if (value.startsWith('network:')) onChange({ type: 'network', name: value.slice(8), ...kept })
    else onChange({ type: value as Adapter['type'], ...(value === 'tap' ? { name: 'tap0' } : {}), ...kept })
  }
  return (
    <div class="adapter-row">
      <Select label={t('adapter.number', { number: number + 1 })} value={adapter.type === 'network' ? `network:${adapter.name}` : adapter.type} onChange={choose} options={options} hint={error} />
      {adapter.type === 'tap' && <Input label={t('adapter.interface')} value={adapter.name ?? ''} onInput={(name) => onChange({ ...adapter, name })} maxLength={15} required />}
      <Select label={t('adapter.model')} value={adapter.model ?? 'virtio'} onChange={(model) => onChange({ ...adapter, model })} options={MODELS.map((value) => ({ value, label: t(`adapter.model.${value}`) }))} />
      <Input label={t('adapter.mac')} value={adapter.mac ?? ''} onInput={(mac) => onChange({ ...adapter, mac: mac || undefined })} maxLength={17} hint={t('adapter.mac-hint')} />
      {adapter.type === 'nat' && (
        <>
          <Field label={t('network.forward')} hint={t('network.forward-hint')}>
            {(field) => (
              <textarea
                {...field}
                rows={2}
                value={(adapter.forward ?? []).join('\n')}
                onInput={(event) => {
                  const forward = event.currentTarget.value.split(/\s+/).filter(Boolean)
                  onChange({ ...adapter, forward: forward.length ? forward : undefined })
                }}
              />
            )}
          </Field>
          <Checkbox label={t('network.isolated')} checked={adapter.isolated ?? false} onChange={(isolated) => onChange({ ...adapter, isolated: isolated || undefined })} />
        </>
      )}
      <Button icon="trash" label={t('adapter.remove', { number: number + 1 })} iconOnly kind="quiet" onClick={onRemove} />
    </div>
  )
}

/** In the settings: what the definition says. */
export function AdapterFields({ net, onChange, wrong, mark }: { net: Definition['net']; onChange: (net: Definition['net']) => void; wrong: (field: string) => string | undefined; mark?: string }) {
  const networks = useLoad(() => get<{ networks: Network[] }>('/networks'), [])
  const list = adaptersOf(net)
  const first = networks.value?.networks[0]
  const put = (next: Adapter[]) => onChange(next.length ? next : undefined)
  return (
    <section class="panel form-panel">
      <h2>
        {t('nav.networks')} {mark && <Mark text={mark} />}
      </h2>
      <p class="hint">{t('adapter.hint')}</p>
      {list.map((adapter, i) => (
        <Row adapter={adapter} number={i} networks={networks.value?.networks ?? []} onChange={(next) => put(list.map((old, n) => (n === i ? next : old)))} onRemove={() => put(list.filter((_, n) => n !== i))} error={wrong(`/net/${i}`)} />
      ))}
      {list.length < ADAPTERS_MAX && (
        <div>
          <Button icon="plus" label={t('adapter.add')} onClick={() => put([...list, first ? { type: 'network', name: first.name } : { type: 'nat' }])} />
        </div>
      )}
    </section>
  )
}

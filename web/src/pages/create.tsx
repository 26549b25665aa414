// SPDX-License-Identifier: GPL-2.0-or-later
// A new machine in one screen: a name and something to boot are enough.
import { useState } from 'preact/hooks'
import { ApiError, call, get, type Definition, type Machine, type Network } from '../api'
import { bytes } from '../format'
import { t } from '../i18n'
import { go, machineHref } from '../route'
import { errorText, machineList, putMachine, server } from '../store'
import { FileField } from '../ui/picker'
import { Button, Checkbox, Input, PageHead, Segments, Select, useLoad } from '../ui/parts'

type Source = 'iso' | 'disk' | 'kernel' | 'network'
type Guest = 'linux' | 'windows' | 'other'
const GIB = 1073741824

interface Draft {
  name: string
  guest: Guest
  source: Source
  iso: string
  disk: string
  kernel: string
  initrd: string
  append: string
  newDisk: boolean
  diskGib: string
  cpus: string
  memoryMib: string
  firmware: 'bios' | 'uefi'
  engine: 'auto' | 'kvm' | 'soft'
  undo: '' | 'keep' | 'commit' | 'discard'
  net: string // '', 'nat', or the name of a network behind a colon
  notes: string
  start: boolean
}

function freeName(): string {
  const taken = new Set(machineList.value.map((machine) => machine.name))
  for (let n = 1; ; n++) {
    const name = t('create.default-name', { number: n })
    if (!taken.has(name)) return name
  }
}

/** What guests of that kind are good at without more drivers. */
const BUS: Record<Guest, 'virtio' | 'ide'> = { linux: 'virtio', windows: 'ide', other: 'ide' }

const NIC: Record<Guest, 'virtio' | 'e1000'> = { linux: 'virtio', windows: 'e1000', other: 'e1000' }

function definitionOf(draft: Draft): { definition: Definition; 'create-disk'?: unknown; start: boolean } {
  const bus = BUS[draft.guest]
  const definition: Definition = {
    name: draft.name.trim(),
    cpus: Number(draft.cpus),
    memory: `${draft.memoryMib}M`,
  }
  if (draft.firmware !== 'bios') definition.firmware = draft.firmware
  if (draft.engine !== 'auto') definition.engine = draft.engine
  if (draft.undo) definition.undo = draft.undo
  if (draft.source === 'iso' && draft.iso) definition.cdrom = draft.iso
  if (draft.source === 'disk' && draft.disk) definition.disk = [{ file: draft.disk, bus }]
  if (draft.source === 'kernel') {
    definition.kernel = draft.kernel
    if (draft.initrd) definition.initrd = draft.initrd
    if (draft.append) definition.append = draft.append
  }
  if (draft.source === 'network') definition.boot = 'network'
  if (draft.net) definition.net = [{ ...(draft.net === 'nat' ? { type: 'nat' } : { type: 'network', name: draft.net.slice(1) }), model: NIC[draft.guest] }]
  if (draft.notes) definition.server = { notes: draft.notes }
  const disk = draft.source !== 'disk' && draft.newDisk
  return {
    definition,
    ...(disk ? { 'create-disk': { 'size-bytes': Math.round(Number(draft.diskGib) * GIB), bus } } : {}),
    start: draft.start,
  }
}

export function CreatePage() {
  const [draft, setDraft] = useState<Draft>(() => ({
    name: freeName(), guest: 'linux', source: 'iso', iso: '', disk: '', kernel: '', initrd: '', append: '',
    newDisk: true, diskGib: '20', cpus: '2', memoryMib: '2048', firmware: 'bios', engine: 'auto', undo: '', net: 'nat', notes: '', start: true,
  }))
  const networks = useLoad(() => get<{ networks: Network[] }>('/networks'), [])
  const [problem, setProblem] = useState<{ text: string; field: string }>()
  const [busy, setBusy] = useState(false)
  const set = <K extends keyof Draft>(key: K) => (value: Draft[K]) => setDraft((old) => ({ ...old, [key]: value }))
  const host = server.value?.host
  const wrong = (field: string) => (problem?.field.startsWith(field) ? problem.text : undefined)
  const nothing = { iso: !draft.iso, disk: !draft.disk, kernel: !draft.kernel, network: false }[draft.source]
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    try {
      const machine = await call<Machine>('/machines', { method: 'POST', body: definitionOf(draft) })
      putMachine(machine)
      go(machineHref(machine.id, draft.start ? 'screen' : undefined))
    } catch (error) {
      setProblem({ text: errorText(error), field: error instanceof ApiError ? (error.problem.field ?? '') : '' })
      setBusy(false)
    }
  }
  return (
    <>
      <PageHead title={t('create.title')} back={{ href: '#/machines', label: t('nav.machines') }} />
      <form class="create" onSubmit={(event) => void submit(event)}>
        {problem && <p class="alert error" role="alert">{problem.text}</p>}
        <section class="panel form-panel">
          <Input label={t('machine.name')} value={draft.name} onInput={set('name')} required maxLength={100} autofocus error={wrong('/definition/name')} />
          <Segments label={t('create.guest')} value={draft.guest} onChange={set('guest')} options={(['linux', 'windows', 'other'] as const).map((value) => ({ value, label: t(`create.guest.${value}`) }))} />
        </section>
        <section class="panel form-panel">
          <Segments label={t('create.source')} value={draft.source} onChange={set('source')} options={(['iso', 'disk', 'kernel', 'network'] as const).map((value) => ({ value, label: t(`create.source.${value}`) }))} />
          {draft.source === 'iso' && <FileField label={t('create.iso')} kind="cdrom" value={draft.iso} onChange={set('iso')} hint={t('create.iso-hint')} error={wrong('/definition/cdrom')} />}
          {draft.source === 'disk' && <FileField label={t('create.disk')} kind="disk" value={draft.disk} onChange={set('disk')} hint={t('create.disk-hint')} error={wrong('/definition/disk')} />}
          {draft.source === 'network' && <p class="hint">{t('create.network-hint')}</p>}
          {draft.source === 'kernel' && (
            <>
              <FileField label={t('machine.kernel')} kind="kernel" value={draft.kernel} onChange={set('kernel')} hint={t('create.kernel-hint')} error={wrong('/definition/kernel')} />
              <FileField label={t('machine.initrd')} kind="any" value={draft.initrd} onChange={set('initrd')} />
              <Input label={t('machine.append')} value={draft.append} onInput={set('append')} maxLength={4096} />
            </>
          )}
          {draft.source !== 'disk' && (
            <div class="inline-fields">
              <Checkbox label={t('create.new-disk')} checked={draft.newDisk} onChange={set('newDisk')} />
              {draft.newDisk && <Input label={t('create.disk-size')} value={draft.diskGib} onInput={set('diskGib')} type="number" min={1} max={2040} step={1} unit="GiB" hint={t('create.disk-grows')} error={wrong('/create-disk')} />}
            </div>
          )}
        </section>
        <section class="panel form-panel">
          <div class="two-fields">
            <Input label={t('machine.memory')} value={draft.memoryMib} onInput={set('memoryMib')} type="number" min={1} max={524288} step={1} unit="MiB" hint={host ? t('create.memory-hint', { bytes: bytes(host['memory-available-bytes']) }) : undefined} error={wrong('/definition/memory')} list={['256', '512', '1024', '2048', '4096', '8192', '16384']} />
            <Input label={t('machine.cpus')} value={draft.cpus} onInput={set('cpus')} type="number" min={1} max={64} step={1} hint={host ? t('create.cpus-hint', { cpus: host.cpus ?? 0 }) : undefined} error={wrong('/definition/cpus')} />
          </div>
          <Select
            label={t('object.network')}
            value={draft.net}
            onChange={set('net')}
            options={[
              { value: 'nat', label: t('adapter.type.nat') },
              ...(networks.value?.networks ?? []).map((n) => ({ value: `:${n.name}`, label: n.name })),
              { value: '', label: t('create.no-network') },
            ]}
          />
          <details>
            <summary>{t('create.more')}</summary>
            <div class="two-fields">
              <Select label={t('machine.firmware')} value={draft.firmware} onChange={set('firmware')} options={[{ value: 'bios', label: 'BIOS' }, { value: 'uefi', label: 'UEFI' }]} />
              <Select label={t('machine.engine')} value={draft.engine} onChange={set('engine')} options={(['auto', 'kvm', 'soft'] as const).map((value) => ({ value, label: t(`engine.${value}`) }))} hint={host && !host.kvm ? t('engine.no-kvm') : undefined} />
              <Select label={t('machine.undo')} value={draft.undo} onChange={set('undo')} options={(['', 'keep', 'commit', 'discard'] as const).map((value) => ({ value, label: t(value ? `undo.${value}` : 'undo.none') }))} hint={t('undo.hint')} />
              <Input label={t('machine.notes')} value={draft.notes} onInput={set('notes')} maxLength={16384} />
            </div>
          </details>
        </section>
        <div class="form-foot">
          <Checkbox label={t('create.start')} checked={draft.start} onChange={set('start')} />
          {nothing && <span class="muted">{t('create.nothing-to-boot')}</span>}
          <Button label={t('action.create-machine')} kind="primary" type="submit" busy={busy} disabled={!draft.name.trim() || (draft.source === 'kernel' && !draft.kernel)} />
        </div>
      </form>
    </>
  )
}

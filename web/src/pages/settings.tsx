// SPDX-License-Identifier: GPL-2.0-or-later
// A machine's definition as a form. What a running machine takes over only when it is started
// again is marked, before it is changed and until it has been.
import { useState } from 'preact/hooks'
import { ApiError, call, type Definition, type Machine } from '../api'
import { memoryMib } from '../format'
import { t } from '../i18n'
import { errorText, machines, may, putMachine, toast } from '../store'
import { FileField } from '../ui/picker'
import { AdapterFields } from './adapters'
import { Button, Checkbox, Field, Input, Mark, Select } from '../ui/parts'

type Server = NonNullable<Definition['server']>
type DiskPart = NonNullable<Definition['disk']>[number]

/** RFC 7396: what to send so that `from` becomes `to`. */
export function mergePatch(from: unknown, to: unknown): unknown {
  if (typeof to !== 'object' || to === null || Array.isArray(to)) return to
  const before = typeof from === 'object' && from !== null && !Array.isArray(from) ? (from as Record<string, unknown>) : {}
  const after = to as Record<string, unknown>
  const patch: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(after)) {
    if (value === undefined) continue
    if (JSON.stringify(before[key]) !== JSON.stringify(value)) patch[key] = mergePatch(before[key], value)
  }
  for (const key of Object.keys(before)) if (after[key] === undefined) patch[key] = null
  return patch
}

const number = (text: string): number | undefined => (text.trim() === '' ? undefined : Number(text))

export function SettingsForm({ machine }: { machine: Machine }) {
  const [base, setBase] = useState({ etag: machine.etag, definition: machine.definition })
  const [draft, setDraft] = useState<Definition>(structuredClone(machine.definition))
  const [problem, setProblem] = useState<{ text: string; field: string }>()
  const [busy, setBusy] = useState(false)
  const [tags, setTags] = useState((machine.definition.server?.tags ?? []).join(', '))
  const modify = may(machine, 'modify')
  const on = machine.state !== 'off' && machine.state !== 'saved'
  const pending = (pointer: string) => machine['needs-restart'].some((other) => other === pointer || other.startsWith(`${pointer}/`))
  const mark = (pointer: string) => (pending(pointer) ? t('machine.pending') : on ? t('machine.at-restart') : undefined)
  const set = <K extends keyof Definition>(key: K, value: Definition[K]) => setDraft((old) => ({ ...old, [key]: value }))
  const setServer = <K extends keyof Server>(key: K, value: Server[K]) => setDraft((old) => ({ ...old, server: { ...old.server, [key]: value } }))
  const setAutostart = (part: Partial<NonNullable<Server['autostart']>>) => setServer('autostart', { ...draft.server?.autostart, ...part })
  const disks = draft.disk ?? []
  const setDisk = (i: number, part: Partial<DiskPart>) => set('disk', disks.map((disk, n) => (n === i ? { ...disk, ...part } : disk)))
  const wrong = (field: string) => (problem?.field.startsWith(field) ? problem.text : undefined)
  const patch = mergePatch(base.definition, draft) as Record<string, unknown>
  const changed = Object.keys(patch).length > 0
  const outdated = machine.etag !== base.etag
  const server = draft.server ?? {}
  const autostart = server.autostart ?? {}

  const reload = () => {
    const now = machines.value.get(machine.id) ?? machine
    setBase({ etag: now.etag, definition: now.definition })
    setDraft(structuredClone(now.definition))
    setTags((now.definition.server?.tags ?? []).join(', '))
    setProblem(undefined)
  }
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setProblem(undefined)
    try {
      const next = await call<Machine>(`/machines/${machine.id}`, { method: 'PATCH', body: patch, merge: true, etag: base.etag })
      putMachine(next)
      setBase({ etag: next.etag, definition: next.definition })
      setDraft(structuredClone(next.definition))
      toast('ok', t(next['needs-restart'].length ? 'settings.saved-restart' : 'settings.saved'))
    } catch (error) {
      setProblem({ text: errorText(error), field: error instanceof ApiError ? (error.problem.field ?? '') : '' })
    }
    setBusy(false)
  }

  return (
    <form class="settings" onSubmit={(event) => void submit(event)}>
      {outdated && (
        <p class="alert warning">
          {t('settings.outdated')} <Button label={t('action.reload')} onClick={reload} />
        </p>
      )}
      {problem && <p class="alert error" role="alert">{problem.text}</p>}
      <fieldset disabled={!modify}>
        <section class="panel form-panel">
          <h2>{t('settings.hardware')}</h2>
          <div class="two-fields">
            <Input label={t('machine.memory')} value={String(memoryMib(draft.memory))} onInput={(value) => set('memory', `${value}M`)} type="number" min={1} max={524288} unit="MiB" mark={mark('/memory')} error={wrong('/memory')} />
            <Input label={t('machine.cpus')} value={String(draft.cpus ?? 1)} onInput={(value) => set('cpus', number(value))} type="number" min={1} max={64} mark={mark('/cpus')} error={wrong('/cpus')} />
            <Select
              label={t('machine.firmware')}
              value={draft.firmware === undefined || draft.firmware === 'bios' ? 'bios' : draft.firmware === 'uefi' ? 'uefi' : 'file'}
              onChange={(value) => set('firmware', value === 'file' ? '/' : value)}
              options={[{ value: 'bios', label: 'BIOS' }, { value: 'uefi', label: 'UEFI' }, { value: 'file', label: t('machine.firmware-file') }]}
              mark={mark('/firmware')}
            />
            {draft.firmware !== undefined && draft.firmware !== 'bios' && draft.firmware !== 'uefi' && (
              <FileField label={t('machine.firmware-file')} kind="any" value={draft.firmware} onChange={(value) => set('firmware', value || 'bios')} mark={mark('/firmware')} />
            )}
            <Select label={t('machine.engine')} value={(['kvm', 'soft', 'auto,portable', 'kvm,portable', 'soft,portable'] as const).find((name) => draft.engine === name) ?? 'auto'} onChange={(value) => set('engine', value)} options={(['auto', 'kvm', 'soft', 'auto,portable', 'kvm,portable', 'soft,portable'] as const).map((value) => ({ value, label: t(`engine.${value}`) }))} mark={mark('/engine')} />
            <Select label={t('machine.iommu')} value={draft.iommu ?? 'none'} onChange={(value) => set('iommu', value)} options={(['none', 'intel'] as const).map((value) => ({ value, label: t(`iommu.${value}`) }))} mark={mark('/iommu')} />
            <Select label={t('machine.boot')} value={draft.boot ?? ''} onChange={(value) => set('boot', value || undefined)} options={(['', 'disk', 'cdrom', 'floppy', 'network'] as const).map((value) => ({ value, label: t(value ? `boot.${value}` : 'boot.auto') }))} mark={mark('/boot')} />
            <Select label={t('machine.undo')} value={draft.undo ?? ''} onChange={(value) => set('undo', value || undefined)} options={(['', 'keep', 'commit', 'discard'] as const).map((value) => ({ value, label: t(value ? `undo.${value}` : 'undo.none') }))} mark={mark('/undo')} hint={t('undo.hint')} />
          </div>
        </section>

        <section class="panel form-panel">
          <h2>
            {t('nav.disks')} {mark('/disk') && <Mark text={mark('/disk')!} />}
          </h2>
          {disks.map((disk, i) => (
            <div class="disk-row">
              <FileField label={t('settings.disk', { number: i + 1 })} kind="disk" value={disk.file} onChange={(file) => setDisk(i, { file })} error={wrong(`/disk/${i}`)} />
              <Select label={t('machine.bus')} value={disk.bus ?? 'ide'} onChange={(bus) => setDisk(i, { bus })} options={[{ value: 'virtio', label: 'virtio' }, { value: 'ide', label: 'IDE' }, { value: 'sata', label: 'SATA' }, { value: 'scsi', label: 'SCSI' }]} />
              <Checkbox label={t('machine.readonly')} checked={disk.readonly ?? false} onChange={(readonly) => setDisk(i, { readonly })} />
              <Button icon="trash" label={t('settings.remove-disk')} iconOnly kind="quiet" onClick={() => set('disk', disks.filter((_, n) => n !== i))} />
            </div>
          ))}
          {disks.length < 8 && (
            <div>
              <Button icon="plus" label={t('settings.add-disk')} onClick={() => set('disk', [...disks, { file: '', bus: 'virtio' }])} />
            </div>
          )}
          <FileField label={t('drive.cdrom')} kind="cdrom" value={draft.cdrom ?? ''} onChange={(value) => set('cdrom', value || undefined)} mark={mark('/cdrom')} hint={on ? t('settings.media-hint') : undefined} error={wrong('/cdrom')} />
          <FileField label={t('drive.floppy')} kind="floppy" value={draft.floppy ?? ''} onChange={(value) => set('floppy', value || undefined)} mark={mark('/floppy')} error={wrong('/floppy')} />
          <details open={!!draft.kernel}>
            <summary>{t('settings.direct-kernel')}</summary>
            <FileField label={t('machine.kernel')} kind="kernel" value={draft.kernel ?? ''} onChange={(value) => set('kernel', value || undefined)} mark={mark('/kernel')} error={wrong('/kernel')} />
            <FileField label={t('machine.initrd')} kind="any" value={draft.initrd ?? ''} onChange={(value) => set('initrd', value || undefined)} mark={mark('/initrd')} error={wrong('/initrd')} />
            <Input label={t('machine.append')} value={draft.append ?? ''} onInput={(value) => set('append', value || undefined)} maxLength={4096} mark={mark('/append')} />
          </details>
        </section>

        <AdapterFields net={draft.net} onChange={(net) => set('net', net)} wrong={wrong} mark={mark('/net')} />

        <section class="panel form-panel">
          <h2>{t('settings.when')}</h2>
          <div class="two-fields">
            <Select label={t('autostart.when')} value={autostart.when ?? 'if-running'} onChange={(when) => setAutostart({ when })} options={(['never', 'always', 'if-running'] as const).map((value) => ({ value, label: t(`autostart.${value}`) }))} />
            <Input label={t('autostart.order')} value={String(autostart.order ?? 100)} onInput={(value) => setAutostart({ order: number(value) })} type="number" min={0} max={10000} hint={t('autostart.order-hint')} />
            <Input label={t('autostart.delay')} value={String(autostart['delay-seconds'] ?? 0)} onInput={(value) => setAutostart({ 'delay-seconds': number(value) })} type="number" min={0} max={86400} unit={t('unit.seconds')} />
            <Select label={t('autostart.wait')} value={autostart.wait ?? 'nothing'} onChange={(wait) => setAutostart({ wait })} options={(['nothing', 'screen-text', 'serial-text'] as const).map((value) => ({ value, label: t(`autostart.wait.${value}`) }))} />
            {autostart.wait && autostart.wait !== 'nothing' && <Input label={t('autostart.wait-text')} value={autostart['wait-text'] ?? ''} onInput={(value) => setAutostart({ 'wait-text': value })} maxLength={200} />}
            <Select label={t('settings.at-shutdown')} value={server['at-host-shutdown'] ?? 'save'} onChange={(value) => setServer('at-host-shutdown', value)} options={(['save', 'turn-off', 'shutdown'] as const).map((value) => ({ value, label: t(`at-shutdown.${value}`) }))} />
            <Select label={t('settings.on-reset')} value={draft['on-reset'] ?? 'reset'} onChange={(value) => set('on-reset', value)} options={(['reset', 'stop'] as const).map((value) => ({ value, label: t(`policy.${value}`) }))} mark={mark('/on-reset')} />
            <Select label={t('settings.on-triple-fault')} value={draft['on-triple-fault'] ?? 'reset'} onChange={(value) => set('on-triple-fault', value)} options={(['reset', 'stop'] as const).map((value) => ({ value, label: t(`policy.${value}`) }))} mark={mark('/on-triple-fault')} />
          </div>
        </section>

        <section class="panel form-panel">
          <h2>{t('settings.about')}</h2>
          <Field label={t('machine.notes')}>
            {(field) => <textarea {...field} rows={4} maxLength={16384} value={server.notes ?? ''} onInput={(event) => setServer('notes', event.currentTarget.value || undefined)} />}
          </Field>
          <Input
            label={t('machine.tags')}
            value={tags}
            onInput={(value) => {
              setTags(value)
              const list = value.split(',').map((tag) => tag.trim()).filter(Boolean)
              setServer('tags', list.length ? list : undefined)
            }}
            hint={t('machine.tags-hint')}
          />
        </section>
      </fieldset>
      {modify && (
        <div class="form-foot sticky">
          <Button label={t('action.undo-changes')} disabled={!changed} onClick={reload} />
          <Button label={t('action.save-changes')} kind="primary" type="submit" busy={busy} disabled={!changed} />
        </div>
      )}
    </form>
  )
}

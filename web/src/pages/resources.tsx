// SPDX-License-Identifier: GPL-2.0-or-later
// How the host is shared out among all machines, on one page; changes act at once.
import { useEffect, useState } from 'preact/hooks'
import { call, get, type Machine, type MachineResources, type Resources } from '../api'
import { bytes, percent } from '../format'
import { t } from '../i18n'
import { machineHref } from '../route'
import { activity, attempt, machines, may, putMachine, toast } from '../store'
import { Button, Meter, PageHead, StateBadge, useLoad } from '../ui/parts'
import { mergePatch } from './settings'

const MIB = 1048576
type Entry = Resources['machines'][number]

type DiskLimit = NonNullable<MachineResources['disks']>[number]
const LIMITS = ['read-bytes-per-second', 'write-bytes-per-second', 'reads-per-second', 'writes-per-second'] as const
type Limit = (typeof LIMITS)[number]
const inBytes = (limit: Limit) => limit.includes('bytes')

function NumberCell(props: { label: string; value: number | undefined; onChange: (value: number | undefined) => void; min: number; max: number; placeholder: string; disabled: boolean; unit?: string }) {
  return (
    <div class={`input${props.unit ? ' with-unit' : ''}`}>
      <input
        type="number"
        aria-label={props.label}
        value={props.value ?? ''}
        min={props.min}
        max={props.max}
        placeholder={props.placeholder}
        disabled={props.disabled}
        step="any"
        onInput={(event) => props.onChange(event.currentTarget.value === '' ? undefined : Number(event.currentTarget.value))}
      />
      {props.unit && <span class="unit">{props.unit}</span>}
    </div>
  )
}

/** The limits with another one for a disk; a disk without any is not named. */
function withLimit(all: DiskLimit[], file: string, limit: Limit, value: number | undefined): DiskLimit[] {
  const known = all.some((disk) => disk.file === file) ? all : [...all, { file }]
  return known
    .map((disk) => (disk.file === file ? { ...disk, [limit]: value } : disk))
    .filter((disk) => LIMITS.some((name) => disk[name] !== undefined))
}

function DiskLimits(props: { name: string; files: string[]; limits: DiskLimit[]; disabled: boolean; onChange: (limits: DiskLimit[]) => void }) {
  return (
    <details open={props.limits.length > 0}>
      <summary>{t('resources.disks')}</summary>
      {props.files.map((file) => {
        const now = props.limits.find((disk) => disk.file === file)
        const short = file.slice(file.lastIndexOf('/') + 1)
        return (
          <fieldset class="disk-limits">
            <legend title={file}>{short}</legend>
            {LIMITS.map((limit) => {
              const scale = inBytes(limit) ? MIB : 1
              const value = now?.[limit]
              return (
                <label>
                  {t(`resources.${limit}`)}
                  <NumberCell
                    label={`${props.name}, ${short}: ${t(`resources.${limit}`)}`}
                    value={value === undefined ? undefined : Math.round((value / scale) * 100) / 100}
                    onChange={(next) => props.onChange(withLimit(props.limits, file, limit, next === undefined ? undefined : Math.round(next * scale)))}
                    min={inBytes(limit) ? 0.01 : 1}
                    max={1048576}
                    placeholder={t('resources.none')}
                    disabled={props.disabled}
                    unit={inBytes(limit) ? t('unit.mib-per-second') : t('unit.per-second')}
                  />
                </label>
              )
            })}
          </fieldset>
        )
      })}
    </details>
  )
}

function Row({ entry, onSaved }: { entry: Entry; onSaved: () => void }) {
  const [draft, setDraft] = useState<MachineResources>(entry.resources)
  const [busy, setBusy] = useState(false)
  useEffect(() => setDraft(entry.resources), [entry.resources])
  const machine = machines.value.get(entry.id)
  const locked = !machine || !may(machine, 'modify')
  const patch = mergePatch(entry.resources, draft) as Record<string, unknown>
  const changed = Object.keys(patch).length > 0
  const set = (key: keyof MachineResources) => (value: number | undefined) => setDraft((old) => ({ ...old, [key]: value }))
  const cell = (key: 'cpu-weight' | 'cpu-reserve-percent' | 'cpu-max-percent' | 'io-weight', max: number, min: number, placeholder: string, unit?: string) => (
    <NumberCell label={`${entry.name}: ${t(`resources.${key}`)}`} value={draft[key]} onChange={set(key)} min={min} max={max} placeholder={placeholder} disabled={locked} unit={unit} />
  )
  const limit = draft['memory-max-bytes']
  const files = (machine?.definition.disk ?? []).map((disk) => disk.file)
  const save = async () => {
    setBusy(true)
    const next = await attempt(() => call<Machine>(`/machines/${entry.id}/resources`, { method: 'PATCH', body: patch }))
    setBusy(false)
    if (!next) return
    putMachine(next)
    toast('ok', t('resources.saved', { name: entry.name }))
    onSaved()
  }
  return (
    <>
    <tr>
      <th scope="row">
        <a href={machineHref(entry.id)}>{entry.name}</a>
        <StateBadge state={machine?.state ?? entry.state} />
      </th>
      <td data-label={t('resources.using')} class="number">
        {percent(activity.value.get(entry.id)?.['cpu-percent'])}
        <small>{t('resources.of-cpus', { cpus: entry.cpus ?? 1 })}</small>
      </td>
      <td data-label={t('resources.cpu-weight')}>{cell('cpu-weight', 10000, 1, '100')}</td>
      <td data-label={t('resources.cpu-reserve-percent')}>{cell('cpu-reserve-percent', 6400, 0, '0', '%')}</td>
      <td data-label={t('resources.cpu-max-percent')}>{cell('cpu-max-percent', 6400, 1, t('resources.none'), '%')}</td>
      <td data-label={t('activity.memory')} class="number">{bytes(entry['memory-bytes'])}</td>
      <td data-label={t('resources.memory-max-bytes')}>
        <NumberCell label={`${entry.name}: ${t('resources.memory-max-bytes')}`} value={limit === undefined ? undefined : Math.round(limit / MIB)} onChange={(value) => set('memory-max-bytes')(value === undefined ? undefined : value * MIB)} min={16} max={1048576} placeholder={t('resources.none')} disabled={locked} unit="MiB" />
      </td>
      <td data-label={t('resources.io-weight')}>{cell('io-weight', 10000, 1, '100')}</td>
      <td class="cell-actions">
        {changed && <Button icon="close" label={t('action.undo-changes')} iconOnly kind="quiet" onClick={() => setDraft(entry.resources)} />}
        <Button label={t('action.apply')} kind={changed ? 'primary' : 'plain'} disabled={!changed} busy={busy} onClick={() => void save()} />
      </td>
    </tr>
    {files.length > 0 && (
      <tr class="more">
        <td colSpan={9}>
          <DiskLimits name={entry.name} files={files} limits={draft.disks ?? []} disabled={locked} onChange={(disks) => setDraft((old) => ({ ...old, disks }))} />
        </td>
      </tr>
    )}
    </>
  )
}

export function ResourcesPage() {
  const { value, error, reload } = useLoad(() => get<Resources>('/resources'), [])
  const states = [...machines.value.values()].map((machine) => machine.state).join()
  useEffect(() => {
    if (value) reload()
  }, [states])
  const host = value?.host
  return (
    <>
      <PageHead title={t('nav.resources')} />
      {!!error && <p class="alert error">{(error as Error).message}</p>}
      {host && host.enforced === false && <p class="alert warning">{t('resources.not-enforced')}</p>}
      {host && (
        <section class="panel host">
          <Meter label={t('resources.cpu-reserved')} value={host['cpu-reserved-percent'] ?? 0} max={host['cpu-reservable-percent'] ?? 100} text={t('host.of', { used: percent(host['cpu-reserved-percent']), all: percent(host['cpu-reservable-percent']) })} />
          <Meter label={t('resources.memory-assigned')} value={host['memory-assigned-bytes'] ?? 0} max={host['memory-bytes'] ?? 1} text={t('host.of', { used: bytes(host['memory-assigned-bytes']), all: bytes(host['memory-bytes']) })} />
          <Meter label={t('resources.memory-available')} value={(host['memory-bytes'] ?? 0) - (host['memory-available-bytes'] ?? 0)} max={host['memory-bytes'] ?? 1} text={bytes(host['memory-available-bytes'])} />
        </section>
      )}
      {value && (
        <section class="panel table-wrap">
          <table class="resources">
            <thead>
              <tr>
                <th scope="col">{t('resources.machine')}</th>
                <th scope="col" class="number">{t('resources.using')}</th>
                <th scope="col">{t('resources.cpu-weight')}</th>
                <th scope="col">{t('resources.cpu-reserve-percent')}</th>
                <th scope="col">{t('resources.cpu-max-percent')}</th>
                <th scope="col" class="number">{t('activity.memory')}</th>
                <th scope="col">{t('resources.memory-max-bytes')}</th>
                <th scope="col">{t('resources.io-weight')}</th>
                <th scope="col"><span class="visually-hidden">{t('table.actions')}</span></th>
              </tr>
            </thead>
            <tbody>
              {value.machines.map((entry) => (
                <Row key={entry.id} entry={entry} onSaved={reload} />
              ))}
              {!value.machines.length && <tr><td colSpan={9} class="muted">{t('machines.none')}</td></tr>}
            </tbody>
          </table>
        </section>
      )}
      <p class="muted">{t('resources.help')}</p>
    </>
  )
}

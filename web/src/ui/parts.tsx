// SPDX-License-Identifier: GPL-2.0-or-later
// The pieces that all pages are made of.
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import type { MachineState, Schemas, Task } from '../api'
import { call } from '../api'
import { t, tMaybe } from '../i18n'
import { attempt, putTask } from '../store'
import { Icon, type IconName } from './icon'

interface ButtonProps {
  icon?: IconName
  label: string
  onClick?: () => void
  kind?: 'primary' | 'plain' | 'danger' | 'quiet'
  iconOnly?: boolean
  disabled?: boolean
  busy?: boolean
  type?: 'button' | 'submit'
  pressed?: boolean
}

export function Button(props: ButtonProps) {
  return (
    <button
      type={props.type ?? 'button'}
      class={`button ${props.kind ?? 'plain'}${props.iconOnly ? ' icon-only' : ''}`}
      onClick={props.onClick}
      disabled={props.disabled || props.busy}
      aria-busy={props.busy ? 'true' : undefined}
      aria-pressed={props.pressed}
      aria-label={props.iconOnly ? props.label : undefined}
      title={props.iconOnly ? props.label : undefined}
    >
      {props.icon && <Icon name={props.icon} />}
      {!props.iconOnly && <span>{props.label}</span>}
    </button>
  )
}

export function LinkButton(props: { href: string; icon?: IconName; label: string; kind?: string }) {
  return (
    <a class={`button ${props.kind ?? 'plain'}`} href={props.href}>
      {props.icon && <Icon name={props.icon} />}
      <span>{props.label}</span>
    </a>
  )
}

const STATE_TONE: Record<MachineState, string> = {
  off: 'idle', starting: 'busy', running: 'good', paused: 'held', saving: 'busy', saved: 'kept',
  restoring: 'busy', stopping: 'busy', deleting: 'busy',
}

export function StateBadge({ state }: { state: MachineState }) {
  return <span class={`badge tone-${STATE_TONE[state]}`}>{t(`state.${state}`)}</span>
}

export function SeverityIcon({ severity }: { severity: Schemas['Severity'] }) {
  return (
    <span class={`severity ${severity}`} title={t(`severity.${severity}`)}>
      <Icon name={severity === 'info' ? 'info' : severity === 'warning' ? 'warning' : 'error'} />
      <span class="visually-hidden">{t(`severity.${severity}`)}</span>
    </span>
  )
}

/** Loud only where something waits. */
export function Mark({ text }: { text: string }) {
  return <span class={text === t('machine.at-restart') ? 'mark soft' : 'mark'}>{text}</span>
}

interface FieldProps {
  label: string
  hint?: string
  error?: string
  /** Shown behind the label: this is used at the next start only. */
  mark?: string
  children: (props: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }) => ComponentChildren
}

export function Field(props: FieldProps) {
  const id = useId()
  const described = props.hint || props.error ? `${id}-hint` : undefined
  return (
    <div class={`field${props.error ? ' wrong' : ''}`}>
      <label for={id}>
        {props.label}
        {props.mark && <Mark text={props.mark} />}
      </label>
      {props.children({ id, 'aria-describedby': described, 'aria-invalid': props.error ? true : undefined })}
      {described && (
        <p class="hint" id={described} role={props.error ? 'alert' : undefined}>
          {props.error ?? props.hint}
        </p>
      )}
    </div>
  )
}

interface InputProps {
  label: string
  value: string
  onInput: (value: string) => void
  hint?: string
  error?: string
  mark?: string
  type?: string
  unit?: string
  min?: number
  max?: number
  step?: number
  required?: boolean
  maxLength?: number
  autoComplete?: string
  autofocus?: boolean
  list?: string[]
  disabled?: boolean
}

export function Input(props: InputProps) {
  const list = useId()
  const ref = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (props.autofocus) ref.current?.focus()
  }, [])
  return (
    <Field label={props.label} hint={props.hint} error={props.error} mark={props.mark}>
      {(field) => (
        <div class={`input${props.unit ? ' with-unit' : ''}`}>
          <input
            {...field}
            ref={ref}
            type={props.type ?? 'text'}
            value={props.value}
            onInput={(event) => props.onInput(event.currentTarget.value)}
            min={props.min}
            max={props.max}
            step={props.step}
            required={props.required}
            maxLength={props.maxLength}
            autocomplete={props.autoComplete ?? 'off'}
            list={props.list ? list : undefined}
            disabled={props.disabled}
            spellcheck={false}
          />
          {props.unit && <span class="unit">{props.unit}</span>}
          {props.list && (
            <datalist id={list}>
              {props.list.map((value) => (
                <option value={value} />
              ))}
            </datalist>
          )}
        </div>
      )}
    </Field>
  )
}

interface SelectProps<T extends string> {
  label: string
  value: T
  options: { value: T; label: string }[]
  onChange: (value: T) => void
  hint?: string
  mark?: string
  disabled?: boolean
}

export function Select<T extends string>(props: SelectProps<T>) {
  return (
    <Field label={props.label} hint={props.hint} mark={props.mark}>
      {(field) => (
        <select {...field} value={props.value} disabled={props.disabled} onChange={(event) => props.onChange(event.currentTarget.value as T)}>
          {props.options.map((option) => (
            <option value={option.value}>{option.label}</option>
          ))}
        </select>
      )}
    </Field>
  )
}

export function Checkbox(props: { label: string; checked: boolean; onChange: (value: boolean) => void; disabled?: boolean }) {
  return (
    <label class="checkbox">
      <input type="checkbox" checked={props.checked} disabled={props.disabled} onChange={(event) => props.onChange(event.currentTarget.checked)} />
      <span>{props.label}</span>
    </label>
  )
}

/** A choice of a few, as buttons that belong together. */
export function Segments<T extends string>(props: { label: string; value: T; options: { value: T; label: string }[]; onChange: (value: T) => void }) {
  const name = useId()
  return (
    <fieldset class="segments">
      <legend>{props.label}</legend>
      <div>
        {props.options.map((option) => (
          <label class={option.value === props.value ? 'on' : ''}>
            <input type="radio" name={name} checked={option.value === props.value} onChange={() => props.onChange(option.value)} />
            <span>{option.label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  )
}

interface DialogProps {
  title: string
  onClose: () => void
  children: ComponentChildren
  wide?: boolean
}

/** Modal while it is in the page: the browser's own dialog keeps the focus inside. */
export function Dialog(props: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null)
  const title = useId()
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null
    const element = ref.current
    element?.showModal()
    return () => {
      element?.close() // the rest of the page cannot have the focus before
      before?.focus()
    }
  }, [])
  return (
    <dialog
      ref={ref}
      class={props.wide ? 'wide' : ''}
      aria-labelledby={title}
      onCancel={(event) => {
        event.preventDefault()
        props.onClose()
      }}
      onClick={(event) => event.target === ref.current && props.onClose()}
    >
      <div class="dialog-body">
        <header>
          <h2 id={title}>{props.title}</h2>
          <Button icon="close" label={t('action.close')} kind="quiet" iconOnly onClick={props.onClose} />
        </header>
        {props.children}
      </div>
    </dialog>
  )
}

interface ConfirmProps {
  title: string
  text: string
  action: string
  danger?: boolean
  onClose: () => void
  onConfirm: () => unknown
  children?: ComponentChildren
}

export function Confirm(props: ConfirmProps) {
  const [busy, setBusy] = useState(false)
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <p>{props.text}</p>
      {props.children}
      <footer>
        <Button label={t('action.cancel')} onClick={props.onClose} />
        <Button
          label={props.action}
          kind={props.danger ? 'danger' : 'primary'}
          busy={busy}
          onClick={async () => {
            setBusy(true)
            await props.onConfirm()
            setBusy(false)
            props.onClose()
          }}
        />
      </footer>
    </Dialog>
  )
}

export interface MenuItem {
  label: string
  icon?: IconName
  danger?: boolean
  onSelect: () => void
}

/** A button with actions behind it; arrows move, Escape closes. */
export function Menu({ items, label }: { items: MenuItem[]; label: string }) {
  const [open, setOpen] = useState(false)
  const root = useRef<HTMLDivElement>(null)
  const list = useRef<HTMLDivElement>(null)
  const buttons = () => [...(root.current?.querySelectorAll<HTMLButtonElement>('[role=menuitem]') ?? [])]
  useEffect(() => {
    if (!open || !root.current || !list.current) return
    // Below the button and flush with its right side; above it where the page ends.
    const button = root.current.getBoundingClientRect()
    const { offsetWidth, offsetHeight, style } = list.current
    const below = button.bottom + 4
    style.left = `${Math.max(8, button.right - offsetWidth)}px`
    style.top = `${below + offsetHeight < innerHeight - 8 ? below : Math.max(8, button.top - 4 - offsetHeight)}px`
    buttons()[0]?.focus({ preventScroll: true })
    const close = () => setOpen(false)
    const outside = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false)
    }
    document.addEventListener('pointerdown', outside)
    addEventListener('scroll', close, { capture: true, once: true })
    addEventListener('resize', close, { once: true })
    return () => {
      document.removeEventListener('pointerdown', outside)
      removeEventListener('scroll', close, { capture: true })
      removeEventListener('resize', close)
    }
  }, [open])
  const onKeyDown = (event: KeyboardEvent) => {
    const all = buttons()
    const at = all.indexOf(document.activeElement as HTMLButtonElement)
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step && all.length) {
      event.preventDefault()
      all[(at + step + all.length) % all.length]?.focus()
    } else if (event.key === 'Escape' && open) {
      setOpen(false)
      root.current?.querySelector('button')?.focus()
    }
  }
  if (!items.length) return null
  return (
    <div class="menu" ref={root} onKeyDown={onKeyDown}>
      <button type="button" class="button quiet icon-only" aria-haspopup="menu" aria-expanded={open} aria-label={label} title={label} onClick={() => setOpen(!open)}>
        <Icon name="more" />
      </button>
      {open && (
        <div class="menu-items" role="menu" ref={list}>
          {items.map((item) => (
            <button
              type="button"
              role="menuitem"
              class={item.danger ? 'danger' : ''}
              onClick={() => {
                setOpen(false)
                // What the item opens gives the focus back here when it closes.
                root.current?.querySelector('button')?.focus()
                item.onSelect()
              }}
            >
              {item.icon && <Icon name={item.icon} />}
              <span>{item.label}</span>
            </button>
          ))}
        </div>
      )}
    </div>
  )
}

export function Progress({ value, label }: { value: number | undefined; label: string }) {
  return <progress max={100} value={value} aria-label={label} />
}

/** A part of a whole, as a bar. */
export function Meter(props: { label: string; value: number; max: number; text: string; second?: number }) {
  const share = props.max > 0 ? Math.min(100, (props.value / props.max) * 100) : 0
  const second = props.second === undefined || props.max <= 0 ? 0 : Math.min(100, (props.second / props.max) * 100)
  return (
    <div class="meter" role="img" aria-label={`${props.label}: ${props.text}`}>
      <div class="meter-head">
        <span>{props.label}</span>
        <b>{props.text}</b>
      </div>
      <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width="100" height="4" />
        {second > 0 && <rect class="second" width={second} height="4" />}
        <rect class={share > 90 ? 'fill high' : 'fill'} width={share} height="4" />
      </svg>
    </div>
  )
}

/** The last minutes of a value, small. */
export function Spark({ values, max, label }: { values: number[]; max: number; label: string }) {
  const width = 120
  const height = 28
  const step = width / Math.max(1, values.length - 1)
  const top = Math.max(max, ...values, 1)
  const points = values.map((value, i) => `${(i * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`)
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {points.length > 1 && (
        <>
          <polygon points={`0,${height} ${points.join(' ')} ${width},${height}`} />
          <polyline points={points.join(' ')} />
        </>
      )}
    </svg>
  )
}

export function Empty(props: { icon: IconName; title: string; text?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={props.icon} />
      <p class="empty-title">{props.title}</p>
      {props.text && <p>{props.text}</p>}
      {props.children}
    </div>
  )
}

export function taskName(task: Task): string {
  return tMaybe(`task.${task.kind}`, task.kind)
}

export async function cancelTask(task: Task) {
  const next = await attempt(() => call<Task>(`/tasks/${task.id}/cancel`, { method: 'POST' }))
  if (next) putTask(next)
}

export function TaskLine({ task }: { task: Task }) {
  return (
    <div class="task-line">
      <span>
        {taskName(task)}
        {task.percent !== undefined && <b> {task.percent} %</b>}
      </span>
      <Progress value={task.percent} label={taskName(task)} />
      {task.cancelable && <Button icon="close" label={`${t('action.cancel')}: ${taskName(task)}`} iconOnly kind="quiet" onClick={() => void cancelTask(task)} />}
    </div>
  )
}

export function PageHead(props: { title: string; children?: ComponentChildren; back?: { href: string; label: string } }) {
  useEffect(() => {
    document.title = `${props.title} – Yado`
  }, [props.title])
  return (
    <header class="page-head">
      <div>
        {props.back && (
          <a class="back" href={props.back.href}>
            {props.back.label}
          </a>
        )}
        <h1 tabIndex={-1}>{props.title}</h1>
      </div>
      {props.children && <div class="page-actions">{props.children}</div>}
    </header>
  )
}

/** Something read once, with what to show meanwhile and when it fails. */
export function useLoad<T>(load: () => Promise<T>, depends: unknown[]): { value?: T; error?: unknown; reload: () => void; set: (value: T) => void } {
  const [state, setState] = useState<{ value?: T; error?: unknown }>({})
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    let current = true
    load().then(
      (value) => current && setState({ value }),
      (error: unknown) => current && setState((before) => ({ ...before, error })),
    )
    return () => {
      current = false
    }
  }, [...depends, turn])
  return { ...state, reload: () => setTurn(turn + 1), set: (value) => setState({ value }) }
}

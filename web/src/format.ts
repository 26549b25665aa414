// SPDX-License-Identifier: GPL-2.0-or-later
// Numbers and times for people.
import { language, t } from './i18n'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function bytes(value: number | undefined): string {
  if (value === undefined) return '–'
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2
  const text = new Intl.NumberFormat(language.value, { maximumFractionDigits: digits }).format(value)
  return `${text} ${UNITS[unit]}`
}

export const rate = (value: number | undefined) => (value === undefined ? '–' : `${bytes(value)}/s`)

export function percent(value: number | undefined): string {
  if (value === undefined) return '–'
  return `${new Intl.NumberFormat(language.value, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value)} %`
}

export const count = (value: number) => new Intl.NumberFormat(language.value).format(value)

export function duration(seconds: number | undefined): string {
  if (seconds === undefined) return '–'
  const s = Math.max(0, Math.floor(seconds))
  const days = Math.floor(s / 86400)
  const hours = Math.floor(s / 3600) % 24
  const minutes = Math.floor(s / 60) % 60
  if (days) return t('time.days-hours', { days, hours })
  if (hours) return t('time.hours-minutes', { hours, minutes })
  if (minutes) return t('time.minutes-seconds', { minutes, seconds: s % 60 })
  return t('time.seconds', { seconds: s })
}

export function dateTime(value: string | undefined): string {
  if (!value) return '–'
  return new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(value))
}

/** Today by the time, this year without the year. */
export function shortTime(value: string): string {
  const date = new Date(value)
  const now = new Date()
  const options: Intl.DateTimeFormatOptions =
    date.toDateString() === now.toDateString()
      ? { timeStyle: 'medium' }
      : date.getFullYear() === now.getFullYear()
        ? { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' }
        : { dateStyle: 'medium' }
  return new Intl.DateTimeFormat(language.value, options).format(date)
}

const SIZE = /^(\d+)([KMGT]?)(?:i?B)?$/

/** The memory of a definition in MiB: a number of MiB, or text with a unit. */
export function memoryMib(value: string | number | undefined): number {
  if (value === undefined) return 512
  if (typeof value === 'number') return value
  const match = SIZE.exec(value)
  if (!match) return 512
  const factor = { '': 1, K: 1 / 1024, M: 1, G: 1024, T: 1048576 }[match[2] as '' | 'K' | 'M' | 'G' | 'T']
  return Number(match[1]) * factor
}

export const fileName = (path: string) => path.slice(path.lastIndexOf('/') + 1)
export const folderName = (path: string) => path.slice(0, Math.max(1, path.lastIndexOf('/')))

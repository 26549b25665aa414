// SPDX-License-Identifier: GPL-2.0-or-later
// Light, dark, or as the system has it.
import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'
const known: Theme[] = ['system', 'light', 'dark']

function stored(): Theme {
  const value = localStorage.getItem('yado.theme') as Theme
  return known.includes(value) ? value : 'system'
}

export const theme = signal<Theme>(stored())
apply()

function apply() {
  if (theme.value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme.value
}

export function setTheme(next: Theme) {
  theme.value = next
  localStorage.setItem('yado.theme', next)
  apply()
}

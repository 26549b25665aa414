// SPDX-License-Identifier: GPL-2.0-or-later
// Which page: the part of the address behind '#', so that one file serves them all.
import { signal } from '@preact/signals'

function read(): string[] {
  return location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent)
}

export const route = signal<string[]>(read())
window.addEventListener('hashchange', () => {
  route.value = read()
  // A new page is read from its heading on.
  requestAnimationFrame(() => document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true }))
  window.scrollTo(0, 0)
})

export const machineHref = (id: string, tab?: string) => `#/machines/${id}${tab ? `/${tab}` : ''}`

export const networkHref = (name: string) => `#/networks/${encodeURIComponent(name)}`

export function go(href: string) {
  location.hash = href
}

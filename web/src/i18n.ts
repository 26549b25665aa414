// SPDX-License-Identifier: GPL-2.0-or-later
// Texts. The languages that the browser asks for (Accept-Language, as navigator.languages) decide,
// until the user chooses. tools/check-web holds the catalogues against each other and the source.
import { signal } from '@preact/signals'
import en from './locales/en.json'
import ja from './locales/ja.json'

export type Language = 'en' | 'ja'
export type TextKey = keyof typeof en
const catalogues: Record<Language, Record<TextKey, string>> = { en, ja }
export const languageNames: Record<Language, string> = { en: 'English', ja: '日本語' }

function preferred(): Language {
  const chosen = localStorage.getItem('yado.language')
  for (const tag of [chosen, ...navigator.languages]) {
    const primary = tag?.split('-')[0]
    if (primary === 'en' || primary === 'ja') return primary
  }
  return 'en'
}

export const language = signal<Language>(preferred())
document.documentElement.lang = language.value

export function setLanguage(next: Language) {
  localStorage.setItem('yado.language', next)
  document.documentElement.lang = next
  language.value = next
}

/** The text of a key, with {name} replaced. */
export function t(key: TextKey, values?: Record<string, string | number>): string {
  const text = catalogues[language.value][key]
  return values ? text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? '')) : text
}

/** The text of a key that is put together, such as of an event's kind; the fallback if there is none. */
export function tMaybe(key: string, fallback: string, values?: Record<string, string | number>): string {
  return key in en ? t(key as TextKey, values) : fallback
}

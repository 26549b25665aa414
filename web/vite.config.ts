// SPDX-License-Identifier: GPL-2.0-or-later
import { defineConfig } from 'vite'

export default defineConfig({
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    outDir: process.env.YADO_WEB_OUT ?? 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // Nothing inline: the pages' Content-Security-Policy allows files of this server only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      output: {
        // Names with a hash of the contents: yadod lets browsers keep what lies in assets/ for ever.
        assetFileNames: 'assets/[name]-[hash][extname]',
        chunkFileNames: 'assets/[name]-[hash].js',
        entryFileNames: 'assets/[name]-[hash].js',
      },
    },
  },
  server: {
    proxy: { '/api': { target: process.env.YADO_URL ?? 'https://127.0.0.1:8443', secure: false, ws: true } },
  },
})

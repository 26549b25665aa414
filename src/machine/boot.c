/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --kernel: finds the format, and starts kernels that need no firmware. What firmware would have
 * done and such kernels rely on is done here: PCI addresses and interrupt routes, the ports of
 * power management, the A20 gate, flat segments.
 */
#include "machine/boot.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "memory/dma.h"

#define KERNEL_BYTES_MAX GIB(1)
#define ATTR_CODE32 0xc09b
#define ATTR_DATA32 0xc093
#define ATTR_TSS32 0x008b
#define ATTR_LDT 0x0082

int boot_open(struct pc *pc, struct error *err)
{
    const struct machine_config *config = pc->config;
    static int (*const formats[])(struct pc * pc, const struct blob *kernel, struct error *err) = {
        boot_linux_open, boot_multiboot_open, boot_pvh_open};
    struct blob kernel = {0};
    int r = 0;

    if (!config->kernel) {
        if (config->initrd || config->append)
            return error_set(err, -EINVAL, "--%s: give --kernel as well",
                             config->initrd ? "initrd" : "append");
        return 0;
    }
    r = blob_read(&kernel, config->kernel, KERNEL_BYTES_MAX, err);
    if (r < 0)
        return error_prefix(err, r, "--kernel");
    for (size_t i = 0; i < ARRAY_LEN(formats) && r == 0; i++)
        r = formats[i](pc, &kernel, err);
    blob_done(&kernel);
    if (r == 0)
        return error_set(err, -ENOEXEC,
                         "--kernel: %s: neither a Linux bzImage nor a multiboot or PVH ELF file",
                         config->kernel);
    return r < 0 ? r : 0;
}

void boot_close(struct pc *pc)
{
    while (pc->boot.count)
        free(pc->boot.pieces[--pc->boot.count].data);
    for (size_t i = 0; i < ARRAY_LEN(pc->linux_parts); i++)
        blob_done(&pc->linux_parts[i]);
}

int boot_add_piece(struct pc *pc, uint64_t gpa, uint8_t *data, size_t len_bytes)
{
    if (pc->boot.count == PC_BOOT_PIECES_MAX) {
        free(data);
        return -ENOSPC;
    }
    pc->boot.pieces[pc->boot.count++] =
        (struct boot_piece){.gpa = gpa, .data = data, .len_bytes = len_bytes};
    return 0;
}

/* A program header of either class. */
struct segment {
    uint32_t type;
    uint64_t offset, paddr, file_bytes, mem_bytes;
};

static bool segment_get(const struct blob *file, unsigned n, struct segment *ret)
{
    bool wide = file->data[EI_CLASS] == ELFCLASS64;
    const Elf32_Ehdr *e32 = (const Elf32_Ehdr *)file->data;
    const Elf64_Ehdr *e64 = (const Elf64_Ehdr *)file->data;
    uint64_t at = (wide ? e64->e_phoff : e32->e_phoff) +
                  (uint64_t)n * (wide ? e64->e_phentsize : e32->e_phentsize);
    size_t size = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    Elf32_Phdr p32;
    Elf64_Phdr p64;

    if (n >= (wide ? e64->e_phnum : e32->e_phnum) || at > file->len_bytes ||
        size > file->len_bytes - at)
        return false;
    if (wide) {
        memcpy(&p64, file->data + at, sizeof(p64));
        *ret = (struct segment){p64.p_type, p64.p_offset, p64.p_paddr, p64.p_filesz, p64.p_memsz};
    } else {
        memcpy(&p32, file->data + at, sizeof(p32));
        *ret = (struct segment){p32.p_type, p32.p_offset, p32.p_paddr, p32.p_filesz, p32.p_memsz};
    }
    return true;
}

static bool is_elf(const struct blob *file)
{
    return file->len_bytes >= sizeof(Elf64_Ehdr) && !memcmp(file->data, ELFMAG, SELFMAG) &&
           (file->data[EI_CLASS] == ELFCLASS32 || file->data[EI_CLASS] == ELFCLASS64) &&
           file->data[EI_DATA] == ELFDATA2LSB;
}

int boot_add_elf(struct pc *pc, const struct blob *file, uint64_t *ret_end, struct error *err)
{
    uint64_t first = UINT64_MAX, end = 0, ram = pc->m->low_ram_bytes;
    struct segment s;
    uint8_t *image;

    if (!is_elf(file))
        return error_set(err, -ENOEXEC, "--kernel: %s: not an ELF file", pc->config->kernel);
    for (unsigned n = 0; segment_get(file, n, &s); n++) {
        if (s.type != PT_LOAD || !s.mem_bytes)
            continue;
        if (s.offset > file->len_bytes || s.file_bytes > file->len_bytes - s.offset ||
            s.file_bytes > s.mem_bytes)
            return error_set(err, -ENOEXEC, "--kernel: %s: damaged: segment %u is not in the file",
                             pc->config->kernel, n);
        if (s.paddr > ram || s.mem_bytes > ram - s.paddr)
            return error_set(err, -ENOSPC,
                             "--kernel: %s: its segment at %#llx does not fit; give more --memory",
                             pc->config->kernel, (unsigned long long)s.paddr);
        first = MIN(first, s.paddr);
        end = MAX(end, s.paddr + s.mem_bytes);
    }
    if (first >= end)
        return error_set(err, -ENOEXEC, "--kernel: %s: nothing in it is to be loaded",
                         pc->config->kernel);
    image = calloc(1, end - first);
    if (!image)
        return error_set(err, -ENOMEM, "--kernel: %s: out of memory", pc->config->kernel);
    for (unsigned n = 0; segment_get(file, n, &s); n++)
        if (s.type == PT_LOAD && s.file_bytes)
            memcpy(image + (s.paddr - first), file->data + s.offset, s.file_bytes);
    *ret_end = end;
    return boot_add_piece(pc, first, image, end - first);
}

unsigned boot_memory_map(const struct pc *pc, struct boot_range ret_ranges[BOOT_RANGES_MAX])
{
    uint64_t low = pc->m->low_ram_bytes, acpi = low - BOOT_ACPI_BYTES;
    unsigned n = 0;

    ret_ranges[n++] = (struct boot_range){0, 0x9fc00, 1};
    ret_ranges[n++] = (struct boot_range){0x9fc00, 0x400, 2};
    ret_ranges[n++] = (struct boot_range){0xf0000, 0x10000, 2};
    ret_ranges[n++] = (struct boot_range){MIB(1), acpi - MIB(1), 1};
    ret_ranges[n++] = (struct boot_range){acpi, BOOT_ACPI_BYTES, 3};
    ret_ranges[n++] = (struct boot_range){GIB(4) - KIB(256), KIB(256), 2};
    if (pc->m->high_ram_bytes)
        ret_ranges[n++] = (struct boot_range){HIGH_RAM_BASE, pc->m->high_ram_bytes, 1};
    return n;
}

static struct x86_segment flat(uint16_t selector, uint16_t attr)
{
    return (struct x86_segment){.limit = 0xffffffff, .selector = selector, .attr = attr};
}

/* The state that multiboot (3.2) and PVH ask for: 32-bit flat protected mode, interrupts off. */
static int cpu_start(struct pc *pc)
{
    struct machine *m = pc->m;
    struct x86_state state;

    x86_state_reset(&state, 1);
    state.cr0 = 0x11;
    state.rip = pc->boot.eip;
    state.gpr[X86_RAX] = pc->boot.eax;
    state.gpr[X86_RBX] = pc->boot.ebx;
    state.rflags = 2;
    state.seg[X86_CS] = flat(0x08, ATTR_CODE32);
    for (unsigned i = 0; i < X86_SEGS; i++)
        if (i != X86_CS)
            state.seg[i] = flat(0x10, ATTR_DATA32);
    state.tr = (struct x86_segment){.limit = 0x67, .attr = ATTR_TSS32};
    state.ldtr = (struct x86_segment){.attr = ATTR_LDT};
    state.gdtr = (struct x86_table){.base = BOOT_GDT_GPA, .limit = 23};
    state.idtr = (struct x86_table){.limit = 0};
    return m->engine->ops->vcpu_set_state(m->cpus[0].vcpu, &state);
}

int boot_apply(struct pc *pc)
{
    static const uint64_t gdt[] = {0, 0x00cf9b000000ffffULL, 0x00cf93000000ffffULL};
    const struct dma dma = {.bus = pc->m->mem};
    int r;

    if (!pc->boot.used)
        return 0;
    if ((r = boot_platform(pc)) < 0)
        return r;
    for (unsigned i = 0; i < pc->boot.count; i++) {
        const struct boot_piece *piece = &pc->boot.pieces[i];

        r = dma_write(&dma, piece->gpa, piece->data, piece->len_bytes);
        if (r < 0)
            return r;
    }
    if ((r = dma_write(&dma, BOOT_GDT_GPA, gdt, sizeof(gdt))) < 0 || (r = boot_acpi(pc)) < 0)
        return r;
    return cpu_start(pc);
}

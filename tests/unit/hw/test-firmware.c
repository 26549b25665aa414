/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables for firmware: without these, guests see no processors, no interrupts, no way to switch
 * off, or their firmware finds no kernel. */
#include <stdio.h>

#include "base/bytes.h"
#include "hw/firmware/acpi.h"
#include "hw/firmware/fw_files.h"
#include "hw/firmware/smbios.h"
#include "hwtest.h"

struct fixture {
    struct ram *ram;
    struct bus *mem;
    struct region dram;
    struct fw_cfg *cfg;
    uint16_t pm_base;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uint64_t offset;
    assert_int_equal(ram_new(1 << 20, &f->ram, NULL), 0);
    assert_int_equal(ram_alloc(f->ram, 1 << 20, &offset), 0);
    assert_int_equal(bus_new("mem", 1ull << 36, f->ram, &f->mem), 0);
    f->dram = (struct region){.name = "dram", .size_bytes = 1 << 20, .kind = REGION_RAM};
    assert_int_equal(bus_add(f->mem, &f->dram), 0);
    struct fw_cfg_env env = {.mem = f->mem};
    assert_int_equal(fw_cfg_new(&env, &f->cfg), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fw_cfg_dev_ops.free(f->cfg);
    bus_free(f->mem);
    ram_free(f->ram);
    free(f);
    return 0;
}

static void select_key(struct fixture *f, uint16_t key)
{
    fw_cfg_io.write(f->cfg, 0, 2, key);
}

static void read_bytes(struct fixture *f, void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)fw_cfg_io.read(f->cfg, 1, 1);
}

/* As firmware finds a file; returns its length, and selects it. */
static uint32_t open_file(struct fixture *f, const char *name)
{
    uint8_t bytes[64];
    select_key(f, FW_CFG_FILE_DIR);
    read_bytes(f, bytes, 4);
    for (uint32_t n = be32_get(bytes); n; n--) {
        read_bytes(f, bytes, 64);
        if (!strcmp((char *)bytes + 8, name)) {
            select_key(f, be16_get(bytes + 4));
            return be32_get(bytes);
        }
    }
    return 0;
}

static uint8_t *load_file(struct fixture *f, const char *name, uint32_t *ret_len)
{
    *ret_len = open_file(f, name);
    assert_int_not_equal(*ret_len, 0);
    uint8_t *bytes = malloc(*ret_len);
    read_bytes(f, bytes, *ret_len);
    return bytes;
}

static void test_items(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[8];
    select_key(f, FW_CFG_SIGNATURE);
    read_bytes(f, bytes, 5);
    assert_memory_equal(bytes, "QEMU", 5); /* and zeros after the end */
    select_key(f, FW_CFG_ID);
    read_bytes(f, bytes, 4);
    assert_int_equal(le32_get(bytes), 3);
    assert_int_equal(fw_cfg_add_u16(f->cfg, FW_CFG_NB_CPUS, 4), 0);
    assert_int_equal(fw_cfg_add_u16(f->cfg, FW_CFG_NB_CPUS, 5), 0);
    select_key(f, FW_CFG_NB_CPUS);
    read_bytes(f, bytes, 2);
    assert_int_equal(le16_get(bytes), 5);
    select_key(f, 0x7777);
    read_bytes(f, bytes, 2);
    assert_int_equal(le16_get(bytes), 0);
    assert_int_equal(fw_cfg_add_file(f->cfg, "opt/a", "hello", 5), 0);
    assert_int_equal(fw_cfg_add_file(f->cfg, "opt/b", "x", 1), 0);
    assert_int_equal(open_file(f, "opt/a"), 5);
    read_bytes(f, bytes, 5);
    assert_memory_equal(bytes, "hello", 5);
    char name[80];
    memset(name, 'n', 79);
    name[79] = 0;
    assert_true(fw_cfg_add_file(f->cfg, name, "x", 1) < 0);
}

static uint32_t dma(struct fixture *f, uint32_t control, uint32_t len, uint64_t addr)
{
    uint8_t *desc = f->ram->host + 0x100;
    be32_put(desc, control);
    be32_put(desc + 4, len);
    be64_put(desc + 8, addr);
    fw_cfg_io.write(f->cfg, 4, 4, 0);
    fw_cfg_io.write(f->cfg, 8, 4, __builtin_bswap32(0x100));
    return be32_get(desc);
}

static void test_dma(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fw_cfg_io.read(f->cfg, 4, 4), 0x554d4551); /* "QEMU" */
    assert_int_equal(fw_cfg_add_ref(f->cfg, FW_CFG_KERNEL_DATA, "0123456789", 10), 0);
    assert_int_equal(dma(f, FW_CFG_KERNEL_DATA << 16 | 0x0a, 4, 0x1000), 0);
    assert_memory_equal(f->ram->host + 0x1000, "0123", 4);
    assert_int_equal(dma(f, 4, 2, 0), 0);
    memset(f->ram->host + 0x1000, 0xee, 16);
    assert_int_equal(dma(f, 2, 8, 0x1000), 0);
    assert_memory_equal(f->ram->host + 0x1000, "6789\0\0\0\0\xee", 9);
    assert_int_equal(dma(f, FW_CFG_KERNEL_DATA << 16 | 0x0a, 4, 1ull << 35), 1);
    assert_int_equal(dma(f, FW_CFG_KERNEL_DATA << 16 | 0x18, 4, 0x1000), 1);
    assert_int_equal(dma(f, FW_CFG_KERNEL_DATA << 16 | 0x0a, UINT32_MAX, 0x1000), 1);
}

static unsigned pirq(unsigned slot, unsigned pin)
{
    return (slot + pin + 3) & 3;
}

static uint16_t pm_base(void *ctx)
{
    return ((struct fixture *)ctx)->pm_base;
}

/* What firmware does with the script: returns where it has put the RSDP; base[] of both files. */
struct blob {
    char name[56];
    uint8_t *bytes;
    uint32_t len;
    uint64_t addr;
};

static struct blob *find_blob(struct blob *blobs, const uint8_t *name)
{
    for (unsigned i = 0; i < 2; i++)
        if (!strcmp(blobs[i].name, (const char *)name))
            return &blobs[i];
    fail_msg("script names an unknown file %s", (const char *)name);
    return NULL;
}

static void run_script(struct fixture *f, struct blob *blobs)
{
    uint32_t len;
    unsigned count = 0;
    uint8_t *script = load_file(f, "etc/table-loader", &len);
    assert_int_equal(len % 128, 0);
    for (uint8_t *c = script; c < script + len; c += 128) {
        struct blob *b;
        uint64_t v = 0;
        switch (le32_get(c)) {
        case 1:
            assert_true(count < 2);
            b = &blobs[count];
            memcpy(b->name, c + 4, 56);
            b->bytes = load_file(f, b->name, &b->len);
            b->addr = 0x10000000u * (count + 1);
            count++;
            break;
        case 2:
            b = find_blob(blobs, c + 4);
            assert_true(le32_get(c + 116) + c[120] <= b->len);
            memcpy(&v, b->bytes + le32_get(c + 116), c[120]);
            assert_true(v < find_blob(blobs, c + 60)->len);
            v += find_blob(blobs, c + 60)->addr;
            memcpy(b->bytes + le32_get(c + 116), &v, c[120]);
            break;
        case 3: {
            b = find_blob(blobs, c + 4);
            uint8_t sum = 0;
            assert_true(le32_get(c + 64) + le32_get(c + 68) <= b->len);
            for (uint32_t i = 0; i < le32_get(c + 68); i++)
                sum += b->bytes[le32_get(c + 64) + i];
            b->bytes[le32_get(c + 60)] -= sum;
            break;
        }
        default:
            fail_msg("unknown command %u", le32_get(c));
        }
    }
    free(script);
}

static uint8_t *table_at(struct blob *tables, uint64_t addr, const char *signature)
{
    assert_true(addr >= tables->addr && addr + 36 <= tables->addr + tables->len);
    uint8_t *t = tables->bytes + (addr - tables->addr), sum = 0;
    assert_memory_equal(t, signature, 4);
    uint32_t len = le32_get(t + 4);
    assert_true(addr + len <= tables->addr + tables->len);
    for (uint32_t i = 0; i < len; i++)
        sum += t[i];
    if (memcmp(signature, "FACS", 4) != 0)
        assert_int_equal(sum, 0);
    return t;
}

static void save_table(const char *name, const uint8_t *table)
{
    /* YADO_TEST_TABLES=/some/folder keeps them for iasl -d. */
    const char *folder = getenv("YADO_TEST_TABLES");
    char path[512];
    if (!folder)
        return;
    snprintf(path, sizeof(path), "%s/%s.aml", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(table, 1, le32_get(table + 4), file);
    fclose(file);
}

static void test_acpi(void **state)
{
    struct fixture *f = *state;
    struct blob blobs[2] = {{.len = 0}};
    struct acpi *acpi;
    struct acpi_config config = {.cpus = 3,
                                 .hpet = true,
                                 .floppy = true,
                                 .vtd_gpa = 0xfed90000,
                                 .phys_bits = 40,
                                 .ioapic_source = 0xf0f8,
                                 .hpet_source = 0xf078,
                                 .serial_ports = 2,
                                 .pci_first = 0xc0000000,
                                 .pci_first64 = 0x800000000,
                                 .pci_last64 = 0xfffffffff,
                                 .pirq = pirq,
                                 .pm_base = pm_base,
                                 .ctx = f};
    assert_int_equal(acpi_install(f->cfg, &config, &acpi), 0);
    f->pm_base = 0xb000; /* where OVMF puts it, later */
    run_script(f, blobs);
    struct blob *tables = &blobs[0];
    const uint8_t *rsdp = blobs[1].bytes;
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    uint8_t sums[2] = {0, 0};
    for (unsigned i = 0; i < 36; i++) {
        sums[0] += i < 20 ? rsdp[i] : 0;
        sums[1] += rsdp[i];
    }
    assert_int_equal(sums[0], 0);
    assert_int_equal(sums[1], 0);
    uint8_t *rsdt = table_at(tables, le32_get(rsdp + 16), "RSDT");
    uint8_t *xsdt = table_at(tables, le64_get(rsdp + 24), "XSDT");
    assert_int_equal(le32_get(rsdt + 4), 36 + 4 * 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(le32_get(rsdt + 36 + 4 * i), le64_get(xsdt + 36 + 8 * i));
    uint8_t *fadt = table_at(tables, le32_get(rsdt + 36), "FACP");
    uint8_t *madt = table_at(tables, le32_get(rsdt + 40), "APIC");
    uint8_t *hpet = table_at(tables, le32_get(rsdt + 44), "HPET");
    assert_int_equal(le32_get(fadt + 4), 244);
    assert_int_equal(le32_get(fadt + 76), 0xb008);
    assert_int_equal(le64_get(fadt + 208 + 4), 0xb008);
    assert_int_equal(le32_get(fadt + 80), 0xb00c);
    uint8_t *dsdt = table_at(tables, le32_get(fadt + 40), "DSDT");
    assert_int_equal(le64_get(fadt + 140), le32_get(fadt + 40));
    table_at(tables, le32_get(fadt + 36), "FACS");
    assert_int_equal((le32_get(fadt + 36) & 63), 0);
    assert_memory_equal(madt + 44 + 8, "\x00\x08\x01\x01\x01\0\0\0", 8);
    uint8_t *dmar = table_at(tables, le32_get(rsdt + 48), "DMAR");
    assert_int_equal(le32_get(dmar + 4), 48 + 32);
    assert_memory_equal(dmar + 36, "\x27\x01", 2);
    assert_memory_equal(dmar + 48, "\0\0\x20\0\x01\0\0\0\0\0\xd9\xfe\0\0\0\0", 16);
    assert_memory_equal(dmar + 64, "\x03\x08\0\0\0\xf0\x1f\0\x04\x08\0\0\0\xf0\x0f\0", 16);
    save_table("dsdt", dsdt);
    save_table("facp", fadt);
    save_table("apic", madt);
    save_table("hpet", hpet);
    save_table("dmar", dmar);
    free(blobs[0].bytes);
    free(blobs[1].bytes);
    acpi_free(acpi);
}

static void test_smbios(void **state)
{
    struct fixture *f = *state;
    struct smbios_config config = {.cpus = 2,
                                   .ram_bytes = GIB(20),
                                   .ram_low_bytes = GIB(3),
                                   .uuid = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88},
                                   .serial = "42"};
    assert_int_equal(smbios_install(f->cfg, &config), 0);
    uint32_t len, anchor_len;
    uint8_t *tables = load_file(f, "etc/smbios/smbios-tables", &len);
    uint8_t *anchor = load_file(f, "etc/smbios/smbios-anchor", &anchor_len), sum = 0;
    assert_int_equal(anchor_len, 31);
    for (unsigned i = 0; i < 31; i++)
        sum += anchor[i];
    assert_int_equal(sum, 0);
    assert_int_equal(le16_get(anchor + 22), len);
    unsigned count = 0, seen[128] = {0};
    uint8_t *at = tables;
    while (at < tables + len) {
        assert_true(at[0] < 128 && at + at[1] + 2 <= tables + len);
        seen[at[0]]++;
        count++;
        if (at[0] == 1)
            assert_memory_equal(at + 8, "\x44\x33\x22\x11\x66\x55\x88\x77", 8);
        at += at[1];
        while (at[0] || at[1])
            at++;
        at += 2;
    }
    assert_ptr_equal(at, tables + len);
    assert_int_equal(count, le16_get(anchor + 28));
    static const uint8_t types[] = {0, 1, 3, 16, 32, 127};
    for (unsigned i = 0; i < sizeof(types); i++)
        assert_int_equal(seen[types[i]], 1);
    assert_int_equal(seen[4], 2);
    assert_int_equal(seen[17], 2);
    assert_int_equal(seen[19], 2);
    free(tables);
    free(anchor);
}

static void test_small_files(void **state)
{
    struct fixture *f = *state;
    uint32_t len;
    const char *paths[] = {"/pci@i0cf8/scsi@4/disk@0,0", "/pci@i0cf8/isa@1/fdc@03f0/floppy@0"};
    assert_int_equal(fw_files_e820(f->cfg, MIB(512), GIB(1)), 0);
    assert_int_equal(fw_files_boot_order(f->cfg, paths, 2, true), 0);
    assert_int_equal(fw_files_boot_menu(f->cfg, 0), 0);
    assert_int_equal(fw_files_system_states(f->cfg), 0);
    uint8_t *bytes = load_file(f, "etc/e820", &len);
    assert_int_equal(len, 40);
    assert_int_equal(le64_get(bytes + 8), MIB(512));
    assert_int_equal(le64_get(bytes + 20), GIB(4));
    free(bytes);
    bytes = load_file(f, "bootorder", &len);
    assert_string_equal((char *)bytes, "/pci@i0cf8/scsi@4/disk@0,0\n"
                                       "/pci@i0cf8/isa@1/fdc@03f0/floppy@0\nHALT");
    free(bytes);
    assert_int_equal(open_file(f, "etc/boot-menu-wait"), 0);
    assert_int_equal(open_file(f, "etc/system-states"), 6);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_items), T(test_dma), T(test_acpi), T(test_smbios), T(test_small_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

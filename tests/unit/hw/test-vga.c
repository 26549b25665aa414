/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VGA: without these, people see nothing, or not what the guest has drawn. */
#include "hw/display/vga.h"
#include "hwtest.h"

struct fixture {
    struct clock *clock;
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct vga *vga;
    struct region window, ports, vbe;
};

#define LFB 0xe0000000u
#define MMIO 0xf0000000u

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->clock = test_clock();
    assert_int_equal(ram_new(32 << 20, &f->ram, NULL), 0);
    assert_int_equal(bus_new("mem", 1ull << 36, f->ram, &f->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &f->pio), 0);
    struct pci_env env = {.mem = f->mem, .pio = f->pio};
    assert_int_equal(pci_bus_new(&env, &f->pci), 0);
    struct vga_env vga_env = {.pci = f->pci,
                              .devfn = PCI_DEVFN(2, 0),
                              .clock = f->clock,
                              .rom = "\x55\xaa\x01",
                              .rom_bytes = 3};
    assert_int_equal(vga_new(&vga_env, &f->vga), 0);
    f->window = (struct region){.name = "window",
                                .base = VGA_WINDOW_BASE,
                                .priority = 2,
                                .size_bytes = VGA_WINDOW_BYTES,
                                .ops = &vga_window_io,
                                .dev = f->vga};
    f->ports = (struct region){.name = "ports",
                               .base = VGA_PORTS_BASE,
                               .priority = 1,
                               .size_bytes = VGA_PORTS,
                               .ops = &vga_port_io,
                               .dev = f->vga};
    f->vbe = (struct region){.name = "vbe",
                             .base = VGA_VBE_BASE,
                             .priority = 1,
                             .size_bytes = VGA_VBE_PORTS,
                             .ops = &vga_vbe_io,
                             .dev = f->vga};
    assert_int_equal(bus_add(f->mem, &f->window), 0);
    assert_int_equal(bus_add(f->pio, &f->ports), 0);
    assert_int_equal(bus_add(f->pio, &f->vbe), 0);
    pci_config_write(f->pci, 0, PCI_DEVFN(2, 0), 0x10, 4, LFB);
    pci_config_write(f->pci, 0, PCI_DEVFN(2, 0), 0x18, 4, MMIO);
    pci_config_write(f->pci, 0, PCI_DEVFN(2, 0), 0x30, 4, 0xe8000001);
    pci_config_write(f->pci, 0, PCI_DEVFN(2, 0), 4, 2, 3);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vga_dev_ops.free(f->vga);
    pci_bus_free(f->pci);
    bus_free(f->mem);
    bus_free(f->pio);
    ram_free(f->ram);
    clock_free(f->clock);
    free(f);
    return 0;
}

static void out(struct fixture *f, unsigned port, uint8_t value)
{
    bus_write(f->pio, port, 1, value);
}

static uint8_t in(struct fixture *f, unsigned port)
{
    return (uint8_t)bus_read(f->pio, port, 1);
}

static void index_out(struct fixture *f, unsigned port, uint8_t index, uint8_t value)
{
    bus_write(f->pio, port, 2, (uint64_t)value << 8 | index);
}

static void poke(struct fixture *f, uint32_t gpa, uint8_t value)
{
    bus_write(f->mem, gpa, 1, value);
}

static uint8_t peek(struct fixture *f, uint32_t gpa)
{
    return (uint8_t)bus_read(f->mem, gpa, 1);
}

struct mode {
    uint8_t misc, seq[5], crtc[25], attr_mode, gfx[9];
};

/* As a video BIOS sets modes 3, 12h and 13h. */
static const struct mode mode3 = {0x67,
                                  {0x03, 0x00, 0x03, 0x00, 0x02},
                                  {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                   0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                   0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
                                  0x0c,
                                  {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff}};
static const struct mode mode12 = {0xe3,
                                   {0x03, 0x01, 0x0f, 0x00, 0x06},
                                   {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00,
                                    0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xea, 0x8c,
                                    0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
                                   0x01,
                                   {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff}};
static const struct mode mode13 = {0x63,
                                   {0x03, 0x01, 0x0f, 0x00, 0x0e},
                                   {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00,
                                    0x41, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                    0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
                                   0x41,
                                   {0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff}};

static void set_mode(struct fixture *f, const struct mode *m)
{
    out(f, 0x3c2, m->misc);
    for (unsigned i = 0; i < 5; i++)
        index_out(f, 0x3c4, (uint8_t)i, m->seq[i]);
    index_out(f, 0x3d4, 0x11, 0);
    for (unsigned i = 0; i < 25; i++)
        index_out(f, 0x3d4, (uint8_t)i, m->crtc[i]);
    for (unsigned i = 0; i < 9; i++)
        index_out(f, 0x3ce, (uint8_t)i, m->gfx[i]);
    in(f, 0x3da);
    for (unsigned i = 0; i < 16; i++) {
        out(f, 0x3c0, (uint8_t)i);
        out(f, 0x3c0, (uint8_t)i);
    }
    const uint8_t rest[] = {m->attr_mode, 0, 0x0f, 0, 0};
    for (unsigned i = 0; i < 5; i++) {
        out(f, 0x3c0, (uint8_t)(0x10 + i));
        out(f, 0x3c0, i == 3 && m == &mode3 ? 8 : rest[i]);
    }
    out(f, 0x3c0, 0x20);
    /* DAC: entry n is grey level n, but 1 is blue and 4 is red. */
    out(f, 0x3c8, 0);
    for (unsigned i = 0; i < 256; i++)
        for (unsigned c = 0; c < 3; c++)
            out(f, 0x3c9, i == 1 ? (c == 2 ? 63 : 0) : i == 4 ? (c == 0 ? 63 : 0) : i & 63);
}

static void print(struct fixture *f, unsigned row, unsigned column, const char *text)
{
    uint32_t gpa = 0xb8000 + (row * 80 + column) * 2;
    for (; *text; text++, gpa += 2)
        bus_write(f->mem, gpa, 2, 0x1400u | (uint8_t)*text);
}

static void test_text_screen(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode3);
    print(f, 0, 0, "SeaBIOS");
    print(f, 24, 75, "ready");
    index_out(f, 0x3d4, 0x0e, 0x07);
    index_out(f, 0x3d4, 0x0f, 0xcf);
    uint8_t chars[80 * 25], attrs[80 * 25];
    struct vga_text text;
    assert_int_equal(vga_read_text(f->vga, chars, attrs, sizeof(chars), &text), 0);
    assert_int_equal(text.columns, 80);
    assert_int_equal(text.rows, 25);
    assert_memory_equal(chars, "SeaBIOS", 7);
    assert_memory_equal(chars + 24 * 80 + 75, "ready", 5);
    assert_int_equal(attrs[0], 0x14);
    assert_int_equal(text.cursor_row, 24);
    assert_int_equal(text.cursor_column, 79);
    index_out(f, 0x3d4, 0x0d, 80); /* scrolled by a row */
    assert_int_equal(vga_read_text(f->vga, chars, NULL, 10, &text), 0);
    assert_int_equal(chars[0], 0);
    assert_int_equal(peek(f, 0xa0000), 0xff); /* the window is at b8000 alone */
    assert_int_equal(bus_read(f->mem, 0xb8000, 4), 0x14651453);
}

static void test_text_pixels(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode3);
    /* Load a glyph as a BIOS does: planes unchained, plane 2 at a0000. */
    index_out(f, 0x3c4, 2, 4);
    index_out(f, 0x3c4, 4, 7);
    index_out(f, 0x3ce, 5, 0);
    index_out(f, 0x3ce, 6, 4);
    poke(f, 0xa0000 + 'A' * 32, 0x81);
    poke(f, 0xa0000 + 0xc4 * 32, 0xff);
    index_out(f, 0x3c4, 2, 3);
    index_out(f, 0x3c4, 4, 2);
    index_out(f, 0x3ce, 5, 0x10);
    index_out(f, 0x3ce, 6, 0x0e);
    index_out(f, 0x3d4, 0x0a, 0x20); /* no cursor */
    print(f, 0, 1, "A\xc4");
    struct surface *s = vga_refresh(f->vga);
    assert_int_equal(s->width, 720);
    assert_int_equal(s->height, 400);
    const uint32_t *row = surface_row(s, 0);
    assert_int_equal(row[8], 0);
    assert_int_equal(row[9], 0xff0000);
    assert_int_equal(row[10], 0x0000ff);
    assert_int_equal(row[16], 0xff0000);
    assert_int_equal(row[17], 0x0000ff); /* the ninth dot is background */
    assert_int_equal(row[26], 0xff0000); /* but goes on in line graphics */
    assert_int_equal(surface_row(s, 1)[9], 0x0000ff);
    unsigned top, bottom;
    assert_true(surface_take_damage(s, &top, &bottom));
    vga_refresh(f->vga);
    assert_false(surface_take_damage(s, &top, &bottom));
    print(f, 2, 0, "A");
    vga_refresh(f->vga);
    assert_true(surface_take_damage(s, &top, &bottom));
    assert_int_equal(top, 32);
    assert_int_equal(bottom, 48);
}

static void test_cursor_blinks(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode3);
    bus_write(f->mem, 0xb8000, 2, 0x0720);
    struct surface *s = vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 13)[0], 0x1c1c1c);
    assert_int_equal(surface_row(s, 12)[0], 0);
    clock_advance(f->clock, MS(300));
    vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 13)[0], 0);
}

static void test_planar_writes(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode12);
    poke(f, 0xa0000, 0xf0); /* all planes */
    index_out(f, 0x3ce, 5, 2);
    index_out(f, 0x3ce, 8, 0x08);
    peek(f, 0xa0000);
    poke(f, 0xa0000, 4); /* one pixel in colour 4 */
    struct surface *s = vga_refresh(f->vga);
    assert_int_equal(s->width, 640);
    assert_int_equal(s->height, 480);
    const uint32_t *row = surface_row(s, 0);
    assert_int_equal(row[3], 0x3c3c3c);
    assert_int_equal(row[4], 0xff0000);
    assert_int_equal(row[5], 0);
    index_out(f, 0x3ce, 5, 8); /* read mode 1: who has colour 4? */
    index_out(f, 0x3ce, 2, 4);
    assert_int_equal(peek(f, 0xa0000), 0x08);
    index_out(f, 0x3ce, 7, 0); /* no plane matters */
    assert_int_equal(peek(f, 0xa0000), 0xff);
    index_out(f, 0x3ce, 5, 1); /* copy by latches */
    index_out(f, 0x3ce, 8, 0xff);
    peek(f, 0xa0000);
    poke(f, 0xa0050, 0);
    index_out(f, 0x3ce, 5, 0);
    index_out(f, 0x3ce, 4, 2);
    assert_int_equal(peek(f, 0xa0050), 0xf8);
    index_out(f, 0x3ce, 4, 0);
    assert_int_equal(peek(f, 0xa0050), 0xf0);
    vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 1)[4], 0xff0000);
    index_out(f, 0x3ce, 3, 0x18); /* exclusive or */
    peek(f, 0xa0050);
    poke(f, 0xa0050, 0xff);
    assert_int_equal(peek(f, 0xa0050), 0x0f);
    index_out(f, 0x3ce, 3, 0x01); /* rotate */
    poke(f, 0xa0051, 0x01);
    assert_int_equal(peek(f, 0xa0051), 0x80);
    index_out(f, 0x3ce, 3, 0);
    index_out(f, 0x3ce, 0, 1); /* set/reset in mode 3: value is the mask */
    index_out(f, 0x3ce, 5, 3);
    peek(f, 0xa0060);
    poke(f, 0xa0060, 0x3c);
    assert_int_equal(peek(f, 0xa0060), 0x3c);
}

static void test_chain4_and_mode_x(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode13);
    bus_write(f->mem, 0xa0000, 4, 0x04010400);
    bus_write(f->mem, 0xa0000 + 320 * 199 + 319, 1, 4);
    struct surface *s = vga_refresh(f->vga);
    assert_int_equal(s->width, 640); /* every pixel twice, in both directions */
    assert_int_equal(s->height, 400);
    assert_int_equal(surface_row(s, 0)[2], 0xff0000);
    assert_int_equal(surface_row(s, 1)[3], 0xff0000);
    assert_int_equal(surface_row(s, 0)[4], 0x0000ff);
    assert_int_equal(surface_row(s, 399)[639], 0xff0000);
    assert_int_equal(bus_read(f->mem, 0xa0000, 4), 0x04010400);
    /* Unchained, and the CRT controller by bytes: four pages. */
    index_out(f, 0x3c4, 4, 6);
    index_out(f, 0x3d4, 0x14, 0);
    index_out(f, 0x3d4, 0x17, 0xe3);
    index_out(f, 0x3c4, 2, 2);
    poke(f, 0xa0000 + 80, 1); /* second row, pixel 1 */
    vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 2)[2], 0x0000ff);
    assert_int_equal(surface_row(s, 2)[0], 0);
}

static void test_split_screen(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode12);
    poke(f, 0xa0000, 0xff);
    index_out(f, 0x3d4, 0x0c, 0x80); /* the picture begins elsewhere */
    index_out(f, 0x3d4, 0x18, 99);
    index_out(f, 0x3d4, 0x07, 0x2e);
    index_out(f, 0x3d4, 0x09, 0x00);
    struct surface *s = vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 99)[0], 0);
    assert_int_equal(surface_row(s, 100)[0], 0x3c3c3c);
}

static void vbe_set(struct fixture *f, unsigned index, unsigned value)
{
    bus_write(f->pio, 0x1ce, 2, index);
    bus_write(f->pio, 0x1cf, 2, value);
}

static unsigned vbe_get(struct fixture *f, unsigned index)
{
    bus_write(f->pio, 0x1ce, 2, index);
    return (unsigned)bus_read(f->pio, 0x1cf, 2);
}

static void test_vbe_linear(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode3);
    assert_int_equal(vbe_get(f, 0), 0xb0c5);
    assert_int_equal(vbe_get(f, 10), 256);
    vbe_set(f, 1, 800);
    vbe_set(f, 2, 600);
    vbe_set(f, 3, 32);
    vbe_set(f, 4, 0x41);
    assert_int_equal(vbe_get(f, 6), 800);
    assert_int_equal(vbe_get(f, 7), (16 << 20) / 3200);
    bus_write(f->mem, LFB + 3200 * 10 + 4 * 5, 4, 0x00123456);
    struct surface *s = vga_refresh(f->vga);
    assert_int_equal(s->width, 800);
    assert_int_equal(s->height, 600);
    assert_int_equal(surface_row(s, 10)[5], 0x123456);
    unsigned top, bottom;
    surface_take_damage(s, &top, &bottom);
    bus_write(f->mem, LFB + 3200 * 300, 4, 0xffffff);
    vga_refresh(f->vga);
    assert_true(surface_take_damage(s, &top, &bottom));
    assert_int_equal(top, 300);
    assert_int_equal(bottom, 301);
    vbe_set(f, 9, 300); /* panned */
    vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 0)[0], 0xffffff);
    vbe_set(f, 4, 0);
    vga_refresh(f->vga);
    assert_int_equal(s->width, 720);
}

static void test_vbe_banks_and_depths(void **state)
{
    struct fixture *f = *state;
    index_out(f, 0x3ce, 6, 5);
    vbe_set(f, 1, 640);
    vbe_set(f, 2, 480);
    vbe_set(f, 3, 16);
    vbe_set(f, 4, 1);
    vbe_set(f, 5, 1);
    bus_write(f->mem, 0xa0000, 2, 0xf800);
    assert_int_equal(bus_read(f->mem, LFB + 0x10000, 2), 0xf800);
    struct surface *s = vga_refresh(f->vga);
    unsigned y = 0x10000 / 1280, x = 0x10000 % 1280 / 2;
    assert_int_equal(surface_row(s, y)[x], 0xff0000);
    vbe_set(f, 4, 0);
    vbe_set(f, 3, 24);
    vbe_set(f, 4, 0x41);
    bus_write(f->mem, LFB + 3, 2, 0x2211);
    bus_write(f->mem, LFB + 5, 1, 0x33);
    vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 0)[1], 0x332211);
    vbe_set(f, 4, 0);
    vbe_set(f, 3, 15);
    vbe_set(f, 4, 0x41);
    bus_write(f->mem, LFB, 2, 0x03e0);
    vga_refresh(f->vga);
    assert_int_equal(surface_row(s, 0)[0], 0x00ff00);
}

static void test_register_block(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bus_read(f->mem, MMIO + 0x500, 2), 0xb0c5);
    bus_write(f->mem, MMIO + 0x502, 2, 1024);
    assert_int_equal(vbe_get(f, 1), 1024);
    bus_write(f->mem, MMIO + 0x402, 1, 0x67); /* 0x3c2 */
    assert_int_equal(in(f, 0x3cc), 0x67);
    assert_int_equal(bus_read(f->mem, MMIO + 0x604, 4), 0x1e1e1e1e);
    assert_int_equal(bus_read(f->mem, 0xe8000000, 4), 0x0001aa55);
    assert_int_equal(pci_config_read(f->pci, 0, PCI_DEVFN(2, 0), 0, 4), 0x11111234);
}

/* Guests wait for the beam. */
static void test_retrace_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    set_mode(f, &mode3);
    unsigned rises = 0, last = 1;
    for (unsigned i = 0; i < 100000; i++) {
        clock_advance(f->clock, US(10));
        unsigned now = in(f, 0x3da) & 8;
        rises += now && !last;
        last = now;
    }
    assert_in_range(rises, 69, 71); /* 70 Hz */
}

/* Whatever a guest writes, the picture is painted within its bounds. */
static void test_nonsense(void **state)
{
    struct fixture *f = *state;
    uint32_t seed = 12345;
    for (unsigned i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        unsigned what = seed >> 28;
        unsigned value = seed >> 8 & 0xffff;
        if (what < 10)
            index_out(f, (const unsigned[]){0x3c4, 0x3ce, 0x3d4, 0x3c0, 0x3c2}[what % 5],
                      (uint8_t)value & 31, (uint8_t)(value >> 8));
        else if (what < 13)
            vbe_set(f, value % 12, seed >> 4 & 0xffff & (what == 12 ? 0x7f : 0xffff));
        else
            bus_write(f->mem, 0xa0000 + (seed >> 5 & 0x1ffff), 4, seed);
        if (i % 10 == 0) {
            uint8_t chars[16];
            struct vga_text text;
            vga_refresh(f->vga);
            vga_read_text(f->vga, chars, NULL, sizeof(chars), &text);
        }
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_text_screen),       T(test_text_pixels),
        T(test_cursor_blinks),     T(test_planar_writes),
        T(test_chain4_and_mode_x), T(test_split_screen),
        T(test_vbe_linear),        T(test_vbe_banks_and_depths),
        T(test_register_block),    T(test_retrace_comes_and_goes),
        T(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

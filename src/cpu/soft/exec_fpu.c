/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State of the x87 and vector units as memory images: FXSAVE, XSAVE, FSTENV, FSAVE and back,
 * MXCSR, and the masked vector moves. The registers are the host's own; what differs is the
 * address of the last x87 instruction, which must be the guest's. SDM vol. 1, 8.1.10, 10.5, 13.
 */
#include "base/bytes.h"
#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"

#define FXSAVE_BYTES 512u
#define XSAVE_HEADER_BYTES 64u
#define AVX_OFFSET X86_XSAVE_AVX
#define AVX_BYTES X86_XSAVE_AVX_BYTES

/* #UD or #NM before an instruction of a unit that is off; true when it may go on. */
static bool sse_ready(struct cpu *c, const struct uop *u)
{
    if (c->mode & MODE_SSE_UD || c->mode & MODE_TS) {
        raise_fault(c, c->mode & MODE_SSE_UD ? VEC_UD : VEC_NM, 0);
        leave_at(c, u);
        return false;
    }
    return true;
}

static bool x87_ready(struct cpu *c, const struct uop *u)
{
    if (c->mode & MODE_X87_NM) {
        raise_fault(c, VEC_NM, 0);
        leave_at(c, u);
        return false;
    }
    return true;
}

static bool no_pending(struct cpu *c, const struct uop *u)
{
    if (!x87_pending(c))
        return true;
    x87_error(c);
    leave_at(c, u);
    return false;
}

void x_FWAIT(struct cpu *c, const struct uop *u)
{
    if (c->mode & MODE_WAIT_NM)
        RAISE(c, u, VEC_NM, 0);
    if (!no_pending(c, u))
        return;
    NEXT(c, u);
}

/* ---- MXCSR ---- */

void x_LDMXCSR(struct cpu *c, const struct uop *u)
{
    uint64_t v;
    if (!sse_ready(c, u))
        return;
    if (!uop_rm(c, u, 4, &v))
        FAULT(c, u);
    if (v & ~(uint64_t)MXCSR_MASK)
        RAISE(c, u, VEC_GP, 0);
    uint32_t mxcsr = (uint32_t)v;
    fpu_load(c);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    NEXT_OR_LEAVE(c, u);
}

void x_STMXCSR(struct cpu *c, const struct uop *u)
{
    uint32_t mxcsr;
    if (!sse_ready(c, u))
        return;
    fpu_load(c);
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    if (!uop_set_rm(c, u, 4, mxcsr))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

/* ---- FXSAVE area ---- */

static unsigned xmm_bytes(const struct cpu *c)
{
    return is_code64(c) ? 256 : 128;
}

/* Move the operand's bytes in pieces of at most a page crossing each. */
static bool area_get(struct cpu *c, const struct uop *u, uint64_t ea, uint8_t *to, unsigned n)
{
    uint64_t lin;
    return seg_lin(c, u->flags & U_LEGACY, u->seg, ea & u->addr_mask, n, false, &lin) &&
           mem_get(c, lin, to, n, uop_access(u, ACC_READ));
}

static bool area_probe(struct cpu *c, const struct uop *u, uint64_t ea, unsigned n)
{
    uint64_t lin;
    return seg_lin(c, u->flags & U_LEGACY, u->seg, ea & u->addr_mask, n, true, &lin) &&
           probe_write(c, lin, n, uop_access(u, ACC_WRITE));
}

static bool area_put(struct cpu *c, const struct uop *u, uint64_t ea, const uint8_t *from,
                     unsigned n)
{
    uint64_t lin;
    return seg_lin(c, u->flags & U_LEGACY, u->seg, ea & u->addr_mask, n, true, &lin) &&
           mem_put(c, lin, from, n, uop_access(u, ACC_WRITE));
}

/* Instruction and operand address in an FXSAVE image; CS and DS are not saved (CPUID 7 EBX 13). */
static void put_pointers(const struct cpu *c, uint8_t *image, bool wide)
{
    le16_put(image + 6, c->fpu_op);
    if (wide) {
        le64_put(image + 8, c->fpu_ip);
        le64_put(image + 16, c->fpu_dp);
    } else {
        le64_put(image + 8, (uint32_t)c->fpu_ip);
        le64_put(image + 16, (uint32_t)c->fpu_dp);
    }
}

static void get_pointers(struct cpu *c, const uint8_t *image, bool wide)
{
    c->fpu_op = le16_get(image + 6) & 0x7ff;
    c->fpu_ip = wide ? le64_get(image + 8) : le32_get(image + 8);
    c->fpu_dp = wide ? le64_get(image + 16) : le32_get(image + 16);
    c->fpu_cs = c->fpu_ds = 0;
}

void put_fpu_pointers(const struct cpu *c, uint8_t *image)
{
    put_pointers(c, image, true);
}

void get_fpu_pointers(struct cpu *c, const uint8_t *image)
{
    get_pointers(c, image, true);
}

void x_FXSAVE(struct cpu *c, const struct uop *u)
{
    uint64_t ea = uop_ea(c, u);

    if (c->mode & MODE_X87_NM)
        RAISE(c, u, VEC_NM, 0);
    if ((ea + c->seg[u->seg].base) & 15)
        RAISE(c, u, VEC_GP, 0);
    if (!area_probe(c, u, ea, FXSAVE_BYTES))
        FAULT(c, u);
    fpu_sync(c);
    copy_bytes(c->bounce, c->xsave, 32);
    put_pointers(c, c->bounce, u->bytes == 8);
    le32_put(c->bounce + 28, MXCSR_MASK);
    copy_bytes(c->bounce + 32, c->xsave + 32, 128);
    if (!area_put(c, u, ea, c->bounce, 160))
        FAULT(c, u);
    if (c->cr4 & CR4_OSFXSR && !area_put(c, u, ea + 160, c->xsave + 160, xmm_bytes(c)))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_FXRSTOR(struct cpu *c, const struct uop *u)
{
    uint64_t ea = uop_ea(c, u);

    if (c->mode & MODE_X87_NM)
        RAISE(c, u, VEC_NM, 0);
    if ((ea + c->seg[u->seg].base) & 15)
        RAISE(c, u, VEC_GP, 0);
    if (!area_get(c, u, ea, c->bounce, FXSAVE_BYTES))
        FAULT(c, u);
    if (le32_get(c->bounce + 24) & ~MXCSR_MASK)
        RAISE(c, u, VEC_GP, 0);
    fpu_save(c);
    get_pointers(c, c->bounce, u->bytes == 8);
    copy_bytes(c->xsave, c->bounce, 24);
    copy_bytes(c->xsave + 32, c->bounce + 32, 128);
    if (c->cr4 & CR4_OSFXSR) {
        copy_bytes(c->xsave + 24, c->bounce + 24, 4);
        copy_bytes(c->xsave + 160, c->bounce + 160, xmm_bytes(c));
    }
    le64_put(c->xsave + 512, le64_get(c->xsave + 512) | XCR0_X87 | XCR0_SSE);
    NEXT_OR_LEAVE(c, u);
}

/* ---- XSAVE ---- */

static bool xsave_ready(struct cpu *c, const struct uop *u, uint64_t ea)
{
    if (!(c->cr4 & CR4_OSXSAVE))
        raise_fault(c, VEC_UD, 0);
    else if (c->cr0 & CR0_TS)
        raise_fault(c, VEC_NM, 0);
    else if ((ea + c->seg[u->seg].base) & 63)
        raise_fault(c, VEC_GP, 0);
    else
        return true;
    leave_at(c, u);
    return false;
}

static uint64_t requested(const struct cpu *c)
{
    return ((uint32_t)c->gpr[X86_RAX] | c->gpr[X86_RDX] << 32) & c->xcr0;
}

static bool is_zero(const uint8_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* Components that are not in their initial state (SDM vol. 1, 13.6), from our own image. */
static uint64_t in_use(const struct cpu *c)
{
    uint64_t bv = XCR0_X87;
    if (!is_zero(c->xsave + 160, xmm_bytes(c)) || le32_get(c->xsave + 24) != MXCSR_DEFAULT)
        bv |= XCR0_SSE;
    if (!is_zero(c->xsave + AVX_OFFSET, is_code64(c) ? AVX_BYTES : AVX_BYTES / 2))
        bv |= XCR0_AVX;
    if (c->pkru)
        bv |= XCR0_PKRU;
    return bv;
}

static unsigned ymm_bytes(const struct cpu *c)
{
    return is_code64(c) ? AVX_BYTES : AVX_BYTES / 2;
}

/* Where PKRU lies in an area that has these components. */
static unsigned pkru_offset(uint64_t components, bool compact)
{
    return x86_xsave_bytes(components | XCR0_PKRU, compact) - X86_XSAVE_PKRU_BYTES;
}

enum xsave_form { XSAVE_PLAIN, XSAVE_OPT, XSAVE_COMPACT };

static void xsave(struct cpu *c, const struct uop *u, enum xsave_form form)
{
    uint64_t ea = uop_ea(c, u), rfbm = requested(c);
    bool compact = form == XSAVE_COMPACT;
    uint64_t old_bv = 0;

    if (!xsave_ready(c, u, ea))
        return;
    if (!area_probe(c, u, ea, x86_xsave_bytes(rfbm, compact)))
        FAULT(c, u);
    if (!compact && !area_get(c, u, ea + 512, (uint8_t *)&old_bv, 8))
        FAULT(c, u);
    fpu_sync(c);
    /* XSAVE may tell components at rest as in use; XSAVEC and XSAVEOPT leave those out. */
    uint64_t bv = form == XSAVE_PLAIN ? ~0ULL : in_use(c);
    uint64_t saves = rfbm & bv;
    bool ok = true;

    copy_bytes(c->bounce, c->xsave, 160);
    put_pointers(c, c->bounce, u->bytes == 8);
    le32_put(c->bounce + 28, MXCSR_MASK);
    if (saves & XCR0_X87)
        ok = area_put(c, u, ea, c->bounce, 24) && area_put(c, u, ea + 32, c->bounce + 32, 128);
    if (ok && (compact ? saves & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX)))
        ok = area_put(c, u, ea + 24, c->bounce + 24, 8);
    if (ok && saves & XCR0_SSE)
        ok = area_put(c, u, ea + 160, c->xsave + 160, xmm_bytes(c));
    if (ok && saves & XCR0_AVX)
        ok = area_put(c, u, ea + AVX_OFFSET, c->xsave + AVX_OFFSET, ymm_bytes(c));
    if (ok && saves & XCR0_PKRU)
        ok = area_put(c, u, ea + pkru_offset(rfbm, compact), (const uint8_t *)&c->pkru,
                      X86_XSAVE_PKRU_BYTES);
    uint8_t header[16];
    le64_put(header, compact ? saves : (old_bv & ~rfbm) | saves);
    le64_put(header + 8, rfbm | 1ULL << 63);
    if (!ok || !area_put(c, u, ea + 512, header, compact ? 16 : 8))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_XSAVE(struct cpu *c, const struct uop *u)
{
    xsave(c, u, XSAVE_PLAIN);
}

void x_XSAVEOPT(struct cpu *c, const struct uop *u)
{
    xsave(c, u, XSAVE_OPT);
}

void x_XSAVEC(struct cpu *c, const struct uop *u)
{
    xsave(c, u, XSAVE_COMPACT);
}

void x_XSAVES(struct cpu *c, const struct uop *u)
{
    if (c->cpl)
        RAISE(c, u, VEC_GP, 0);
    xsave(c, u, XSAVE_COMPACT);
}

void x_XRSTOR(struct cpu *c, const struct uop *u)
{
    uint64_t ea = uop_ea(c, u), rfbm = requested(c);
    uint8_t header[XSAVE_HEADER_BYTES];

    if (!xsave_ready(c, u, ea))
        return;
    if (!area_get(c, u, ea, c->bounce, FXSAVE_BYTES) ||
        !area_get(c, u, ea + 512, header, sizeof(header)))
        FAULT(c, u);
    uint64_t bv = le64_get(header), comp = le64_get(header + 8);
    bool compact = comp >> 63;
    bool bad = bv & ~c->xcr0 || !is_zero(header + 16, 48);
    if (compact)
        bad |= !x86_has(&c->soft->model.features, X86_FEAT_XSAVEC) ||
               (comp & ~(1ULL << 63) & ~c->xcr0) || bv & ~comp;
    else
        bad |= comp != 0;
    uint32_t mxcsr = le32_get(c->bounce + 24);
    bool takes_mxcsr = compact ? rfbm & bv & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX);
    bad |= takes_mxcsr && mxcsr & ~MXCSR_MASK;
    if (bad)
        RAISE(c, u, VEC_GP, 0);
    uint8_t *ymm = c->bounce + AVX_OFFSET;
    if (rfbm & bv & XCR0_AVX && !area_get(c, u, ea + AVX_OFFSET, ymm, ymm_bytes(c)))
        FAULT(c, u);
    uint64_t pkru = 0;
    if (rfbm & bv & XCR0_PKRU &&
        !area_get(c, u, ea + pkru_offset(comp, compact), (uint8_t *)&pkru, X86_XSAVE_PKRU_BYTES))
        FAULT(c, u);

    fpu_save(c);
    if (rfbm & XCR0_X87) {
        if (bv & XCR0_X87) {
            copy_bytes(c->xsave, c->bounce, 24);
            copy_bytes(c->xsave + 32, c->bounce + 32, 128);
            get_pointers(c, c->bounce, u->bytes == 8);
        } else {
            zero_bytes(c->xsave, 24);
            zero_bytes(c->xsave + 32, 128);
            le16_put(c->xsave, FCW_DEFAULT);
            c->fpu_ip = c->fpu_dp = 0;
            c->fpu_op = 0;
        }
    }
    if (rfbm & XCR0_SSE) {
        if (bv & XCR0_SSE)
            copy_bytes(c->xsave + 160, c->bounce + 160, xmm_bytes(c));
        else
            zero_bytes(c->xsave + 160, xmm_bytes(c));
    }
    if (takes_mxcsr)
        le32_put(c->xsave + 24, mxcsr);
    else if (compact && rfbm & XCR0_SSE)
        le32_put(c->xsave + 24, MXCSR_DEFAULT);
    if (rfbm & XCR0_AVX) {
        if (bv & XCR0_AVX)
            copy_bytes(c->xsave + AVX_OFFSET, ymm, ymm_bytes(c));
        else
            zero_bytes(c->xsave + AVX_OFFSET, ymm_bytes(c));
    }
    le64_put(c->xsave + 512, XCR0_X87 | XCR0_SSE | XCR0_AVX);
    if (rfbm & XCR0_PKRU && (uint32_t)pkru != c->pkru) {
        set_pkru(c, (uint32_t)pkru);
        leave_after(c, u);
        return;
    }
    NEXT_OR_LEAVE(c, u);
}

void x_XRSTORS(struct cpu *c, const struct uop *u)
{
    if (c->cpl)
        RAISE(c, u, VEC_GP, 0);
    x_XRSTOR(c, u);
}

/* ---- x87 environment: four layouts (SDM vol. 1, figures 8-9 to 8-12) ---- */

static void env_put(const struct cpu *c, const struct uop *u, const uint8_t *host, uint8_t *to)
{
    bool real = !is_protected(c);
    uint16_t cw = le16_get(host), sw = le16_get(host + 4), tw = le16_get(host + 8);

    if (u->bytes == 2) {
        le16_put(to, cw);
        le16_put(to + 2, sw);
        le16_put(to + 4, tw);
        if (real) {
            uint32_t ip = (uint32_t)(c->fpu_ip + c->fpu_cs * 16u);
            uint32_t dp = (uint32_t)(c->fpu_dp + c->fpu_ds * 16u);
            le16_put(to + 6, (uint16_t)ip);
            le16_put(to + 8, (uint16_t)((ip >> 4 & 0xf000) | (c->fpu_op & 0x7ff)));
            le16_put(to + 10, (uint16_t)dp);
            le16_put(to + 12, (uint16_t)(dp >> 4 & 0xf000));
        } else {
            le16_put(to + 6, (uint16_t)c->fpu_ip);
            le16_put(to + 8, 0);
            le16_put(to + 10, (uint16_t)c->fpu_dp);
            le16_put(to + 12, 0);
        }
        return;
    }
    le32_put(to, 0xffff0000 | cw);
    le32_put(to + 4, 0xffff0000 | sw);
    le32_put(to + 8, 0xffff0000 | tw);
    if (real) {
        uint32_t ip = (uint32_t)(c->fpu_ip + c->fpu_cs * 16u);
        uint32_t dp = (uint32_t)(c->fpu_dp + c->fpu_ds * 16u);
        le32_put(to + 12, 0xffff0000 | (uint16_t)ip);
        le32_put(to + 16, (ip >> 16) << 12 | (c->fpu_op & 0x7ff));
        le32_put(to + 20, 0xffff0000 | (uint16_t)dp);
        le32_put(to + 24, (dp >> 16) << 12);
    } else {
        le32_put(to + 12, (uint32_t)c->fpu_ip);
        le32_put(to + 16, (uint32_t)(c->fpu_op & 0x7ff) << 16);
        le32_put(to + 20, (uint32_t)c->fpu_dp);
        le32_put(to + 24, 0xffff0000);
    }
}

static void env_get(struct cpu *c, const struct uop *u, const uint8_t *from, uint8_t *host)
{
    unsigned w = u->bytes == 2 ? 2 : 4;

    zero_bytes(host, 28);
    le16_put(host, le16_get(from));
    le16_put(host + 4, le16_get(from + w));
    le16_put(host + 8, le16_get(from + 2 * w));
    c->fpu_ip = w == 2 ? le16_get(from + 6) : le32_get(from + 12);
    c->fpu_dp = w == 2 ? le16_get(from + 10) : le32_get(from + 20);
    c->fpu_op = w == 2 ? 0 : le16_get(from + 18) & 0x7ff;
    c->fpu_cs = c->fpu_ds = 0;
}

void x_FNSTENV(struct cpu *c, const struct uop *u)
{
    uint8_t host[28];
    if (!x87_ready(c, u))
        return;
    unsigned n = u->bytes == 2 ? 14 : 28;
    if (!area_probe(c, u, uop_ea(c, u), n))
        FAULT(c, u);
    fpu_load(c);
    __asm__ volatile("fnstenv %0" : "=m"(host));
    env_put(c, u, host, c->bounce);
    if (!area_put(c, u, uop_ea(c, u), c->bounce, n))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_FLDENV(struct cpu *c, const struct uop *u)
{
    uint8_t host[28];
    if (!x87_ready(c, u) || !no_pending(c, u))
        return;
    if (!area_get(c, u, uop_ea(c, u), c->bounce, u->bytes == 2 ? 14 : 28))
        FAULT(c, u);
    env_get(c, u, c->bounce, host);
    fpu_load(c);
    __asm__ volatile("fldenv %0" : : "m"(host));
    NEXT_OR_LEAVE(c, u);
}

void x_FNSAVE(struct cpu *c, const struct uop *u)
{
    uint8_t host[108];
    if (!x87_ready(c, u))
        return;
    unsigned n = u->bytes == 2 ? 14 : 28;
    if (!area_probe(c, u, uop_ea(c, u), n + 80))
        FAULT(c, u);
    fpu_load(c);
    __asm__ volatile("fnsave %0" : "=m"(host));
    env_put(c, u, host, c->bounce);
    copy_bytes(c->bounce + n, host + 28, 80);
    c->fpu_ip = c->fpu_dp = 0;
    c->fpu_op = 0;
    if (!area_put(c, u, uop_ea(c, u), c->bounce, n + 80))
        FAULT(c, u);
    NEXT_OR_LEAVE(c, u);
}

void x_FRSTOR(struct cpu *c, const struct uop *u)
{
    uint8_t host[108];
    unsigned n = u->bytes == 2 ? 14 : 28;
    if (!x87_ready(c, u) || !no_pending(c, u))
        return;
    if (!area_get(c, u, uop_ea(c, u), c->bounce, n + 80))
        FAULT(c, u);
    env_get(c, u, c->bounce, host);
    copy_bytes(host + 28, c->bounce + n, 80);
    fpu_load(c);
    __asm__ volatile("frstor %0" : : "m"(host));
    NEXT_OR_LEAVE(c, u);
}

/* ---- masked moves and gathers: element by element, only the chosen ones may fault ---- */

/* Byte i of vector register n in our image. */
static uint8_t *vector_byte(struct cpu *c, unsigned n, unsigned i)
{
    if (i < 16)
        return c->xsave + 160 + 16 * n + i;
    return c->xsave + AVX_OFFSET + 16 * n + (i - 16);
}

static uint64_t element_get(struct cpu *c, unsigned n, unsigned at, unsigned bytes)
{
    uint64_t v = 0;
    copy_bytes(&v, vector_byte(c, n, at), bytes);
    return v;
}

static void element_set(struct cpu *c, unsigned n, unsigned at, unsigned bytes, uint64_t v)
{
    copy_bytes(vector_byte(c, n, at), &v, bytes);
}

static bool avx_ready(struct cpu *c, const struct uop *u)
{
    if (c->mode & MODE_AVX_UD || c->mode & MODE_TS) {
        raise_fault(c, c->mode & MODE_AVX_UD ? VEC_UD : VEC_NM, 0);
        leave_at(c, u);
        return false;
    }
    return true;
}

static unsigned mask_element(const struct uop *u)
{
    switch (u->opcode) {
    case 0x2c:
    case 0x2e:
        return 4;
    case 0x2d:
    case 0x2f:
        return 8;
    default:
        return u->bytes == 8 ? 8 : 4;
    }
}

void x_VMASKLD(struct cpu *c, const struct uop *u)
{
    unsigned n = mask_element(u);
    uint64_t value[8], lin;

    if (!avx_ready(c, u))
        return;
    fpu_save(c);
    for (unsigned i = 0; i < u->size / n; i++) {
        value[i] = 0;
        if (!(element_get(c, u->vvvv, i * n, n) >> (8 * n - 1) & 1))
            continue;
        if (!seg_lin(c, u->flags & U_LEGACY, u->seg, (uop_ea(c, u) + i * n) & u->addr_mask, n,
                     false, &lin) ||
            !mem_load(c, lin, n, uop_access(u, ACC_READ), &value[i]))
            FAULT(c, u);
    }
    for (unsigned i = 0; i < 32 / n; i++)
        element_set(c, u->reg, i * n, n, i < u->size / n ? value[i] : 0);
    NEXT_OR_LEAVE(c, u);
}

void x_VMASKST(struct cpu *c, const struct uop *u)
{
    unsigned n = mask_element(u);
    uint64_t lin;

    if (!avx_ready(c, u))
        return;
    fpu_save(c);
    /* All chosen elements are checked before the first is written. */
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < u->size / n; i++) {
            if (!(element_get(c, u->vvvv, i * n, n) >> (8 * n - 1) & 1))
                continue;
            if (!seg_lin(c, u->flags & U_LEGACY, u->seg, (uop_ea(c, u) + i * n) & u->addr_mask, n,
                         true, &lin))
                FAULT(c, u);
            if (pass == 0 ? !probe_write(c, lin, n, uop_access(u, ACC_WRITE))
                          : !mem_store(c, lin, n, uop_access(u, ACC_WRITE),
                                       element_get(c, u->reg, i * n, n)))
                FAULT(c, u);
        }
    NEXT_OR_LEAVE(c, u);
}

/*
 * What every MMX instruction does to the x87: TOP is 0 and all registers are in use (SDM vol. 1,
 * 9.5.1). The image lists registers from the top of the stack, so it turns round.
 */
static void make_top_zero(struct cpu *c)
{
    uint8_t old[128];
    uint16_t fsw = le16_get(c->xsave + 2);
    unsigned top = fsw >> 11 & 7;

    copy_bytes(old, c->xsave + 32, sizeof(old));
    for (unsigned i = 0; i < 8; i++)
        copy_bytes(c->xsave + 32 + 16 * ((i + top) & 7), old + 16 * i, 16);
    le16_put(c->xsave + 2, fsw & 0xc7ff);
    c->xsave[4] = 0xff;
}

/* MASKMOVQ, MASKMOVDQU: bytes of reg chosen by rm, to DS:RDI. */
void x_MASKMOV(struct cpu *c, const struct uop *u)
{
    bool is_mmx = u->size == 8;
    uint8_t data[16], mask[16];
    unsigned seg = u->flags & U_LEGACY || u->seg >= X86_FS ? u->seg : SEG_FLAT;
    uint64_t lin;

    if (is_mmx ? c->mode & (MODE_EM | MODE_TS) : c->mode & (MODE_SSE_UD | MODE_TS)) {
        bool ud = c->mode & (is_mmx ? MODE_EM : MODE_SSE_UD);
        RAISE(c, u, ud ? VEC_UD : VEC_NM, 0);
    }
    if (is_mmx) {
        if (!no_pending(c, u))
            return;
        fpu_save(c);
        make_top_zero(c);
        copy_bytes(data, c->xsave + 32 + 16 * (u->reg & 7), 8);
        copy_bytes(mask, c->xsave + 32 + 16 * (u->rm & 7), 8);
    } else {
        fpu_save(c);
        copy_bytes(data, vector_byte(c, u->reg, 0), 16);
        copy_bytes(mask, vector_byte(c, u->rm, 0), 16);
    }
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < (is_mmx ? 8u : 16u); i++) {
            if (!(mask[i] & 0x80))
                continue;
            uint64_t ea = (c->gpr[X86_RDI] + i) & u->addr_mask;
            if (!seg_lin(c, u->flags & U_LEGACY, seg, ea, 1, true, &lin))
                FAULT(c, u);
            if (pass == 0 ? !probe_write(c, lin, 1, ACC_WRITE)
                          : !mem_store(c, lin, 1, ACC_WRITE, data[i]))
                FAULT(c, u);
        }
    NEXT_OR_LEAVE(c, u);
}

/* VPGATHER*, VGATHER*: the mask register shows which elements are still to come. */
void x_GATHER(struct cpu *c, const struct uop *u)
{
    unsigned data = u->bytes == 8 ? 8 : 4, index_bytes = u->opcode & 1 ? 8 : 4;
    unsigned vector = u->imm2 ? 32 : 16;
    unsigned count = vector / MAX(data, index_bytes);
    uint64_t lin, v;

    if (!avx_ready(c, u))
        return;
    if (u->reg == u->vvvv || u->reg == u->index || u->vvvv == u->index)
        RAISE(c, u, VEC_UD, 0);
    fpu_save(c);
    for (unsigned i = 0; i < count; i++) {
        uint64_t mask = element_get(c, u->vvvv, i * data, data);
        if (mask >> (8 * data - 1) & 1) {
            uint64_t index = element_get(c, u->index, i * index_bytes, index_bytes);
            if (index_bytes == 4)
                index = (uint64_t)(int32_t)index;
            uint64_t ea =
                (c->gpr[u->base] + (index << u->scale) + (uint64_t)u->disp) & u->addr_mask;
            if (!seg_lin(c, u->flags & U_LEGACY, u->seg, ea, data, false, &lin) ||
                !mem_load(c, lin, data, uop_access(u, ACC_READ), &v))
                FAULT(c, u);
            element_set(c, u->reg, i * data, data, v);
        }
        element_set(c, u->vvvv, i * data, data, 0);
    }
    unsigned used = count * data;
    for (unsigned at = used; at < 32; at += 4) {
        element_set(c, u->reg, at, 4, 0);
        element_set(c, u->vvvv, at, 4, 0);
    }
    NEXT_OR_LEAVE(c, u);
}

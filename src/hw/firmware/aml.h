/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growing buffer of bytes with the words of AML, ACPI's machine language (ACPI specification
 * 3.0b, chapter 17), and of resource descriptors (6.4). Running out of memory sticks: check
 * `failed` at the end.
 */
#ifndef HW_FIRMWARE_AML_H
#define HW_FIRMWARE_AML_H

#include "base/util.h"

struct aml {
    uint8_t *bytes;
    size_t len_bytes, room_bytes;
    bool failed;
};

/* Free what it holds. */
void aml_done(struct aml *aml);

void aml_raw(struct aml *aml, const void *bytes, size_t len_bytes);
void aml_u8(struct aml *aml, uint8_t v);
void aml_u16(struct aml *aml, uint16_t v);
void aml_u32(struct aml *aml, uint32_t v);
void aml_u64(struct aml *aml, uint64_t v);

/* A path such as "\\_SB.PCI0" or "_ADR"; segments are filled up to four characters. */
void aml_name(struct aml *aml, const char *path);
/* An integer constant, in its shortest form. */
void aml_int(struct aml *aml, uint64_t v);
void aml_string(struct aml *aml, const char *text);
/* The compressed form of a plug-and-play identifier, "PNP0A03". */
void aml_eisa_id(struct aml *aml, const char *id);

/* What has a length: begin returns a mark for end. */
size_t aml_begin_scope(struct aml *aml, const char *path);
size_t aml_begin_device(struct aml *aml, const char *name);
size_t aml_begin_method(struct aml *aml, const char *name, unsigned args, bool serialized);
size_t aml_begin_package(struct aml *aml, unsigned count);
size_t aml_begin_if(struct aml *aml);
void aml_end(struct aml *aml, size_t mark);

/* Name (name, …): an object follows. */
void aml_def_name(struct aml *aml, const char *name);
void aml_def_int(struct aml *aml, const char *name, uint64_t v);
void aml_def_eisa_id(struct aml *aml, const char *name, const char *id);
/* Name (name, Buffer () {resources, end tag}). */
void aml_def_resources(struct aml *aml, const char *name, const struct aml *resources);
void aml_buffer(struct aml *aml, const void *bytes, size_t len_bytes);
/* Processor (name, id, 0, 0) {} */
void aml_processor(struct aml *aml, const char *name, uint8_t id);
/* Operation codes of which expressions are made. */
enum {
    AML_STORE = 0x70,
    AML_AND = 0x7b,
    AML_OR = 0x7d,
    AML_LLESS = 0x95,
    AML_RETURN = 0xa4,
    AML_ARG0 = 0x68,
    AML_CREATE_DWORD_FIELD = 0x8a,
    AML_NULL_NAME = 0x00,
};

/* Resource descriptors, for a struct aml of their own. */
void res_io(struct aml *res, uint16_t first, uint8_t count);
void res_irq(struct aml *res, unsigned irq);
void res_dma(struct aml *res, unsigned channel);
void res_memory32(struct aml *res, uint32_t base, uint32_t len_bytes);
/* Level-triggered, active high, shared; one or a choice of several. */
void res_interrupt(struct aml *res, const uint32_t *irqs, unsigned count);
void res_bus_numbers(struct aml *res, uint16_t first, uint16_t last);
void res_io_window(struct aml *res, uint16_t first, uint16_t last);
void res_memory_window(struct aml *res, uint32_t first, uint32_t last, bool cacheable);
void res_memory_window64(struct aml *res, uint64_t first, uint64_t last);

#endif

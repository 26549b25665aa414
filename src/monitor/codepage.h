/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code page 437, the character set of a PC's text screen, as UTF-8.
 */
#ifndef MONITOR_CODEPAGE_H
#define MONITOR_CODEPAGE_H

#include "base/util.h"

#define CODEPAGE_BYTES_MAX 3 /* of UTF-8 for one code */

/*
 * A row of a screen as a line of text: blanks at its end are cut. ret_line has room for count *
 * CODEPAGE_BYTES_MAX + 1 bytes.
 */
void codepage_line(const uint8_t *codes, unsigned count, char *ret_line);

#endif

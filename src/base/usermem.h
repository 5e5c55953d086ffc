/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_USERMEM_H
#define BASE_USERMEM_H

/* Memory of the program's, which may not be there, or not any more. */

#include <stdbool.h>
#include <stddef.h>

/*
 * Can the first and the last page of the range be read, or written? The pages
 * are made present. NULL, or why not, in words. What cannot be told (mappings
 * of devices, kernels before 5.14) is taken for good.
 */
const char *usermem_check(const void *base, size_t len_bytes, bool write);

/*
 * Can the CPU read there? On any kernel, and of any kind of mapping. Some
 * system calls. Of the first and the last byte: true where that cannot be told.
 * Of all pages, 1 MiB at most: false where it cannot.
 */
bool usermem_can_read(const void *base, size_t len_bytes);
bool usermem_can_read_all(const void *base, size_t len_bytes);

/* memcpy() from memory that may have gone: false then, where memcpy() would
 * end the process. Some system calls. */
bool usermem_copy(void *dst, const void *src, size_t len_bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_COUNT_H
#define TESTS_SUPPORT_COUNT_H

/* How many there are of something, by the entries of a folder; those whose name
 * begins with a dot are left out. */

#include <stddef.h>

size_t count_entries(const char *path);
/* Descriptors of this process, the one that looks included. */
size_t count_fds(void);

#endif

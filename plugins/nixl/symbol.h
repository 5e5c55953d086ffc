/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_SYMBOL_H
#define PLUGINS_NIXL_SYMBOL_H

#include <cstdint>

/* The size of a dynamic symbol of a shared object on disk, without loading
 * it. 0: no such symbol, or not such a file. */
uint64_t symbol_bytes(const char *path, const char *symbol);

#endif

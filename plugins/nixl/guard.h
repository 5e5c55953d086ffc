/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_GUARD_H
#define PLUGINS_NIXL_GUARD_H

/*
 * Is the NIXL that loads us one whose layout (abi.h) we know? NIXL's own
 * version number for plugins does not tell: it has been 1 all along, and a
 * plugin that does not fit crashes the process.
 *
 *   libnixl.so   has a symbol that came with 1.0.0       else: too old
 *   dist-info    of the wheel it belongs to: the version 1.0.0 to 1.5.1
 *   no wheel     (built from source): the length of the table of virtual
 *                functions of nixlBackendEngine, as a plugin beside it has it
 *
 * TCPX_NIXL_ANY_VERSION=1 loads us all the same.
 */

#include <cstdint>
#include <string>

#define GUARD_OVERRIDE "TCPX_NIXL_ANY_VERSION"
#define GUARD_RANGE "1.0.0 to 1.5.1"

/* inside: an address in the code that loads us. False: why not, in words. */
bool guard_allows(const void *inside, std::string *why);

/* The parts, for tests. */
/* "1.5.1" of ".../site-packages/.nixl_cu12.mesonpy.libs/libnixl.so"; "" if it
 * belongs to no wheel. */
std::string guard_wheel_version(const std::string &library);
bool guard_known_version(const std::string &version);
/* Bytes of the table in the first plugin of folder that has it; 0: none. */
uint64_t guard_table_bytes(const std::string &folder);

#endif

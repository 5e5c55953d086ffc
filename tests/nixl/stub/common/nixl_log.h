/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NIXL_STUB_NIXL_LOG_H
#define TESTS_NIXL_STUB_NIXL_LOG_H

/* In place of NIXL's own, which needs abseil: its headers use only these. */
#ifdef __cplusplus
#include <iostream>
#endif

#define NIXL_ASSERT(condition) ((void)(condition))
#define NIXL_ERROR std::cerr
#define NIXL_WARN std::cerr

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_MEMORY_H
#define PLUGINS_NIXL_MEMORY_H

/*
 * What NIXL keeps for us with each registration, ours or a peer's: how the
 * library names it, and where it begins, for NIXL speaks in addresses and the
 * library in offsets.
 */

#include "abi.h"

struct memory : abi::metadata {
	enum kind {
		OWN,	/* registered here: mem goes back by deregistering */
		LOADED,	/* to be a remote side: mem goes back by unloading */
	};

	enum kind kind;
	uint64_t mem;
	uintptr_t base;
	std::string blob; /* OWN: what a peer needs to address it */

	memory(enum kind k, uint64_t handle, uintptr_t at)
		: abi::metadata(k == OWN), kind(k), mem(handle), base(at)
	{
	}
};

inline const struct memory *memory_of(const abi::metadata *md)
{
	return static_cast<const struct memory *>(md);
}

#endif

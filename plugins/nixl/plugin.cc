/* SPDX-License-Identifier: Apache-2.0 */

/* What NIXL loads: two functions, and a struct of functions. NIXL may call
 * them many times over in one process, so nothing is kept between. */

#include <cstdio>
#include <cstring>

#include <tcpx/p2p.h>

#include "backend.h"
#include "guard.h"
#include "options.h"

#define ENTRY extern "C" __attribute__((visibility("default")))

static abi::engine *create(const abi::init_params *init)
{
	return init ? backend::create(*init) : nullptr;
}

/* In a child of fork() it is the parent's: its threads are not there to be
 * joined, and its files and connections are still in use. */
static void destroy(abi::engine *engine)
{
	if (engine && static_cast<backend *>(engine)->is_of_this_process())
		delete engine;
}

static const char *name()
{
	return "TCPX";
}

static abi::params shown()
{
	try {
		return options_shown();
	} catch (...) {
		return abi::params();
	}
}

static abi::mem_types mems()
{
	try {
		return {abi::MEM_DRAM, abi::MEM_VRAM};
	} catch (...) {
		return abi::mem_types();
	}
}

#define TEXT_OF(number) #number
#define DOTTED(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

/* By this `tcpx nixl` knows a copy of this file, without loading it. */
static const char mark[] = "tcpx-p2p NIXL plugin " DOTTED(
	TCPX_VERSION_MAJOR, TCPX_VERSION_MINOR, TCPX_VERSION_PATCH);

static const char *version()
{
	return strrchr(mark, ' ') + 1;
}

static abi::plugin plugin = {abi::api_version, create, destroy, name,
			     version,	       shown,  mems};

/* Its caller is the NIXL that must be one we know. */
ENTRY abi::plugin *nixl_plugin_init();
ENTRY void nixl_plugin_fini();

ENTRY abi::plugin *nixl_plugin_init()
{
	try {
		std::string why;

		if (guard_allows(__builtin_return_address(0), &why))
			return &plugin;
		fprintf(stderr, "TCPX error: %s\n", why.c_str());
	} catch (...) {
		/* Out of memory: not loaded. */
	}
	return nullptr;
}

ENTRY void nixl_plugin_fini()
{
}

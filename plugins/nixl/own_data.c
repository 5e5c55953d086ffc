/* SPDX-License-Identifier: Apache-2.0 */

/*
 * hwloc's static library, as distributions build it, addresses variables of
 * libc in a way that a shared object may not. These inside the plugin have
 * the same values.
 */
#include <dlfcn.h>

#define OWN(type, name)                                                        \
	extern type name;                                                      \
	__attribute__((visibility("hidden"))) type name

OWN(void *, stdout);
OWN(void *, stderr);
OWN(char *, program_invocation_name);

static void *value_of(const char *name)
{
	void **variable = dlsym(RTLD_DEFAULT, name);

	return variable ? *variable : (void *)0;
}

/* Before anything else of the plugin runs. */
__attribute__((constructor(101))) static void take_values(void)
{
	stdout = value_of("stdout");
	stderr = value_of("stderr");
	program_invocation_name = value_of("program_invocation_name");
}

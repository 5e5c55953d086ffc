/* SPDX-License-Identifier: Apache-2.0 */
#include "core/variables.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "core/settings.h"

#define NEAR 4 /* letters that differ: too many to be a slip */

/* Read by the command, the pretend GPU, a transport or a plugin. */
static const char *const others[] = {
	"TCPX_DESCRIBE_DIR",	     "TCPX_GPU_HOST_DELAY_US",
	"TCPX_GPU_HOST_DEVICES",     "TCPX_GPU_HOST_FAULT",
	"TCPX_NETPLUGIN_ALLOW",	     "TCPX_NETPLUGIN_CONNECT_MS",
	"TCPX_NETPLUGIN_HELPER",     "TCPX_NETPLUGIN_ISOLATE",
	"TCPX_NETPLUGIN_MAP",	     "TCPX_NETPLUGIN_PATH",
	"TCPX_NETPLUGIN_POOL_BYTES", "TCPX_NETPLUGIN_SLOTS",
	"TCPX_NETPLUGIN_STALL_MS",   "TCPX_NETPLUGIN_WINDOW",
	"TCPX_NIXL_ANY_VERSION",     "TCPX_NIXL_PYTHON",
	"TCPX_PERF_ITERS",	     "TCPX_PERF_SIZE",
	"UCCL_TCPX_PERF_ITERS",	     "UCCL_TCPX_PERF_SIZE",
	"UCCL_TCPX_PLUGIN_PATH",
};
#define N_OTHERS (sizeof(others) / sizeof(*others))

/* One that was found in the environment, and the known one next to it. */
struct search {
	const char *variable, *nearest;
	unsigned distance; /* 0: it is known */
};

static void look(struct search *search, const char *known)
{
	unsigned distance = parse_distance(search->variable, known);

	if (distance < search->distance) {
		search->distance = distance;
		search->nearest = known;
	}
}

static void look_at_all(struct search *search)
{
	for (size_t i = 0; i < n_settings; i++) {
		const struct setting *s = &settings[i];

		look(search, s->variable);
		for (int k = 0; k < 2 && s->aliases[k].variable; k++)
			look(search, s->aliases[k].variable);
	}
	for (size_t i = 0; i < N_OTHERS; i++)
		look(search, others[i]);
}

static bool is_ours(const char *variable)
{
	/* Those of the tests are whatever a test wants. */
	return (strncmp(variable, "TCPX_", 5) == 0 &&
		strncmp(variable, "TCPX_TEST_", 10) != 0) ||
	       strncmp(variable, "UCCL_TCPX_", 10) == 0;
}

void variables_warn(const struct log *log)
{
	for (char **e = environ; e && *e; e++) {
		size_t len = strcspn(*e, "=");
		char variable[128];
		struct search search = {variable, NULL, NEAR};

		if (!is_ours(*e))
			continue;
		snprintf(variable, sizeof(variable), "%.*s", (int)len, *e);
		look_at_all(&search);
		if (search.distance == 0)
			continue;
		log_warn(log, "config", "unknown variable %s%s%s", variable,
			 search.nearest ? "; did you mean " : "",
			 search.nearest ? search.nearest : "");
	}
}

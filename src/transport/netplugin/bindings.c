/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "base/text.h"
#include "topo/distance.h"
#include "topo/nic.h"
#include "transport/netplugin/options.h"

/*
 * "eth1:8-21,112-125;eth2:...": the CPUs that the plugin's threads of a NIC
 * run on. Without a range it divides by zero in its first thread; it has room
 * for eight.
 */

#define NET "NCCL_GPUDIRECTTCPX_"
#define BINDINGS_BYTES 2048
#define RANGES_MAX 8

static const char *const variables[] = {NET "TX_BINDINGS", NET "RX_BINDINGS"};

/* ---- checking ---------------------------------------------------------- */

/* One CPU, or a range; moves *at behind it. Returns how many ranges, -1: it is
 * neither. */
static int read_cpus(const char **at)
{
	char *end;
	unsigned long first = strtoul(*at, &end, 10), last;

	if (end == *at || **at == '-' || **at == '+')
		return -1;
	*at = end;
	if (*end != '-')
		return 0;
	last = strtoul(end + 1, &end, 10);
	if (end == *at + 1 || last < first)
		return -1;
	*at = end;
	return 1;
}

/* The list behind a NIC's name; moves *at behind it. */
static const char *fault_of_list(const char **at)
{
	int n_ranges = 0, n;

	do {
		n = read_cpus(at);
		if (n < 0)
			return "is no such list";
		n_ranges += n;
	} while (**at == ',' && ++*at);
	if (**at && **at != ';')
		return "is no such list";
	if (!n_ranges)
		return "has a NIC without a range: the plugin divides by zero";
	return n_ranges > RANGES_MAX ? "has a NIC with more than eight ranges" :
				       NULL;
}

/* NULL: nothing is wrong. */
static const char *fault_of(const char *text, const char *ifname)
{
	bool named = !ifname;
	const char *fault = NULL;

	while (*text && !fault) {
		size_t len = strcspn(text, ":;,");

		if (!len || text[len] != ':')
			return "is no such list";
		named |= ifname && strlen(ifname) == len &&
			 !strncmp(text, ifname, len);
		text += len + 1;
		fault = fault_of_list(&text);
		text += *text == ';';
	}
	return fault || named ? fault : "does not name the NIC";
}

int options_check_bindings(const struct options_env *env,
			   const struct options *options, const char *ifname,
			   char *why, size_t cap_bytes)
{
	for (int i = 0; i < 2; i++) {
		const char *text = env->get(env->arg, variables[i]);
		const char *fault = text ? fault_of(text, ifname) : NULL;

		if (!fault || options->allow & OPTIONS_BINDINGS)
			continue;
		return options_refuse(why, cap_bytes, OPTIONS_BINDINGS,
				      "%s is \"%.100s\" and %s%s%s; as in "
				      "eth1:8-21,112-125;eth2:22-35",
				      variables[i], text, fault,
				      ifname ? " " : "", ifname ? ifname : "");
	}
	return TCPX_OK;
}

int options_check_bound(const struct options_env *env,
			const struct options *options, char *why,
			size_t cap_bytes)
{
	struct nic nics[NICS_MAX];
	uint32_t n;

	if (options->allow & OPTIONS_BINDINGS ||
	    (env->get(env->arg, variables[0]) &&
	     env->get(env->arg, variables[1])))
		return TCPX_OK;
	options_nics(env, nics, &n);
	if (!n)
		return TCPX_OK; /* NICs that this host does not know */
	return options_refuse(why, cap_bytes, OPTIONS_BINDINGS,
			      "%s or %s is not set, and no range of CPUs is "
			      "known for it",
			      variables[0], variables[1]);
}

/* ---- making ------------------------------------------------------------ */

/* "0-207" */
static void read_online(char *cpus, size_t cap_bytes)
{
	int fd = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, cpus, cap_bytes - 1);

	cpus[n > 0 ? n : 0] = '\0';
	cpus[strcspn(cpus, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

/* The first ranges of cpus; false: there is none. */
static bool add_ranges(struct text *out, const char *ifname, const char *cpus)
{
	int n = 0;

	while (*cpus && n < RANGES_MAX) {
		size_t len = strcspn(cpus, ",");

		if (memchr(cpus, '-', len)) {
			if (n++)
				text_add(out, ",");
			else
				text_add(out,
					 "%s%s:", out->len_bytes ? ";" : "",
					 ifname);
			text_add(out, "%.*s", (int)len, cpus);
		}
		cpus += len;
		cpus += *cpus == ',';
	}
	return n;
}

/* A NIC for which there is no range is left out. */
static void describe(const struct nic *nics, uint32_t n, struct text *out)
{
	struct topo_map *map = NULL;
	char cpus[256], online[256];

	if (topo_map_load(NULL, &map))
		map = NULL;
	read_online(online, sizeof(online));
	for (uint32_t i = 0; i < n; i++) {
		cpus[0] = '\0';
		if (map && nics[i].pci[0])
			topo_map_cpus(map, nics[i].pci, cpus, sizeof(cpus));
		if (!add_ranges(out, nics[i].ifname, cpus))
			add_ranges(out, nics[i].ifname, online);
	}
	topo_map_free(map);
}

void options_bindings_for_plugin(const struct options_env *env,
				 void (*set)(void *arg, const char *variable,
					     const char *value),
				 void *arg)
{
	struct nic nics[NICS_MAX];
	char buf[BINDINGS_BYTES];
	bool is_set[2];
	struct text out;
	uint32_t n;

	for (int i = 0; i < 2; i++)
		is_set[i] = env->get(env->arg, variables[i]);
	if (is_set[0] && is_set[1])
		return;
	options_nics(env, nics, &n);
	text_init(&out, buf, sizeof(buf));
	describe(nics, n, &out);
	for (int i = 0; i < 2 && out.len_bytes && !text_status(&out); i++)
		if (!is_set[i])
			set(arg, variables[i], buf);
}

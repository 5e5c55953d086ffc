/* SPDX-License-Identifier: Apache-2.0 */
#include "nic_counters.h"

#include <ctype.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Drivers have some thousands: a few dozen a queue. */
#define STATS_MAX 65536u
/* Room for queues that come up between the questions: the kernel writes as
 * many as there are then. */
#define STATS_SPARE 1024u

static int kernel_ask(void *arg, const char *ifname, void *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {.ifr_data = request};
	int rc;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	rc = ioctl(fd, SIOCETHTOOL, &ifr) ? -errno : 0;
	close(fd);
	return rc;
}

const struct nic_driver nic_driver_kernel = {.ask = kernel_ask};

static int count_stats(const struct nic_driver *driver, const char *ifname,
		       uint32_t *n)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t n;
	} request = {.info = {.cmd = ETHTOOL_GSSET_INFO,
			      .sset_mask = 1ull << ETH_SS_STATS}};
	int rc = driver->ask(driver->arg, ifname, &request);

	if (rc)
		return rc;
	*n = request.info.sset_mask ? request.n : 0;
	return *n && *n <= STATS_MAX ? 0 : -EOPNOTSUPP;
}

static bool is_queue_number(const char *name, const char *at)
{
	return isdigit((unsigned char)*at) && at - name >= 2 && at[-1] == 'x' &&
	       (at[-2] == 'r' || at[-2] == 't');
}

/* Without the number of its queue. */
static void strip_queue(const char *name, char to[NIC_COUNTER_NAME])
{
	const char *at = name;
	size_t n = 0;

	while (*at && at < name + ETH_GSTRING_LEN && n + 1 < NIC_COUNTER_NAME) {
		if (is_queue_number(name, at))
			at += strspn(at, "0123456789");
		else if (*at == '[' && isdigit((unsigned char)at[1]))
			at += strcspn(at, "]") + 1;
		else
			to[n++] = *at++;
	}
	to[n] = '\0';
}

static void add(struct nic_counters *counters, const char *name, uint64_t value)
{
	unsigned i = 0;

	while (i < counters->n && strcmp(counters->list[i].name, name))
		i++;
	if (i == NIC_COUNTERS_MAX)
		return;
	if (i == counters->n) {
		counters->n++;
		memcpy(counters->list[i].name, name, NIC_COUNTER_NAME);
		counters->list[i].value = 0;
	}
	counters->list[i].value += value;
}

static void take(const struct ethtool_gstrings *names,
		 const struct ethtool_stats *stats, const char *part,
		 struct nic_counters *counters)
{
	uint32_t n = names->len < stats->n_stats ? names->len : stats->n_stats;
	char raw[ETH_GSTRING_LEN + 1] = "", name[NIC_COUNTER_NAME];

	for (uint32_t i = 0; i < n; i++) {
		memcpy(raw, names->data + i * ETH_GSTRING_LEN, ETH_GSTRING_LEN);
		if (!strstr(raw, part))
			continue;
		strip_queue(raw, name);
		add(counters, name, stats->data[i]);
	}
}

static int read_stats(const struct nic_driver *driver, const char *ifname,
		      const char *part, struct nic_counters *counters)
{
	struct ethtool_gstrings *names = NULL;
	struct ethtool_stats *stats = NULL;
	uint32_t n = 0;
	int rc = count_stats(driver, ifname, &n);

	if (rc)
		return rc;
	names = calloc(1, sizeof(*names) +
				  (n + STATS_SPARE) * (size_t)ETH_GSTRING_LEN);
	stats = calloc(1,
		       sizeof(*stats) + (n + STATS_SPARE) * sizeof(uint64_t));
	rc = names && stats ? 0 : -ENOMEM;
	if (!rc) {
		names->cmd = ETHTOOL_GSTRINGS;
		names->string_set = ETH_SS_STATS;
		names->len = n;
		stats->cmd = ETHTOOL_GSTATS;
		stats->n_stats = n;
		rc = driver->ask(driver->arg, ifname, names);
	}
	if (!rc)
		rc = driver->ask(driver->arg, ifname, stats);
	if (!rc)
		take(names, stats, part, counters);
	free(names);
	free(stats);
	return rc;
}

void nic_counters_read(const struct nic_driver *driver, const char *ifname,
		       const char *part, struct nic_counters *counters)
{
	int rc;

	memset(counters, 0, sizeof(*counters));
	rc = read_stats(driver, ifname, part, counters);
	if (rc && rc != -EOPNOTSUPP)
		snprintf(counters->why, sizeof(counters->why),
			 "counters of %s cannot be read: %s", ifname,
			 strerror(-rc));
	else if (!counters->n)
		snprintf(counters->why, sizeof(counters->why),
			 "no %s counters (rx_%s_pkts) on %s", part, part,
			 ifname);
}

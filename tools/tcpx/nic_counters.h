/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_NIC_COUNTERS_H
#define TCPX_TOOL_NIC_COUNTERS_H

/*
 * The statistics that a NIC's driver keeps (`ethtool -S`), of which those of
 * device memory prove a path: bytes that a NIC has put into a GPU's memory
 * itself are counted there and nowhere else.
 */

#include <stdbool.h>
#include <stdint.h>

/* Answers an ethtool request of linux/ethtool.h; 0 or a negative errno. */
struct nic_driver {
	int (*ask)(void *arg, const char *ifname, void *request);
	void *arg;
};

/* ioctl(SIOCETHTOOL). */
extern const struct nic_driver nic_driver_kernel;

#define NIC_COUNTERS_MAX 32
#define NIC_COUNTER_NAME 40

struct nic_counter {
	char name[NIC_COUNTER_NAME];
	uint64_t value;
};

struct nic_counters {
	unsigned n;
	struct nic_counter list[NIC_COUNTERS_MAX];
	char why[96]; /* if there are none */
};

/*
 * Those whose name has `part` in it. A counter that there is once a queue
 * ("rx_devmem_pkts[3]", "rx3_devmem_pkts") is summed over the queues, under
 * the name without the number.
 */
void nic_counters_read(const struct nic_driver *driver, const char *ifname,
		       const char *part, struct nic_counters *counters);

#endif
